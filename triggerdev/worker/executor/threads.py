"""Which run a thread prints for: the one whose code started it, or submitted the call that it carries out.

Context variables do not reach threads (but through asyncio.to_thread). Only output follows this: durable
operations belong to the task's own code.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from triggerdev.sdk import session as sessions

_MARK = "_triggerdev_run"


def speaker() -> Any:
    """Give the session of the run that this thread's output belongs to, None outside of runs."""
    running = sessions.current()
    return running if running is not None else getattr(threading.current_thread(), _MARK, None)


def follow_threads() -> None:
    """Note from now on for whom threads are started and calls are submitted to thread pools."""
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def noted_start(self: threading.Thread) -> None:
        setattr(self, _MARK, speaker())
        start(self)

    def noted_submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        return submit(self, _speak_for, speaker(), fn, args, kwargs)

    threading.Thread.start = noted_start  # type: ignore[method-assign]  # there is no hook for this
    ThreadPoolExecutor.submit = noted_submit  # type: ignore[method-assign,assignment]  # there is no hook for this


def _speak_for(session: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    thread = threading.current_thread()
    previous = getattr(thread, _MARK, None)
    setattr(thread, _MARK, session)
    try:
        return call(*args, **kwargs)
    finally:
        setattr(thread, _MARK, previous)
