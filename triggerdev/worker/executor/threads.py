"""Which run a thread prints for: the one whose code started it, or submitted the call that it carries out.

Context variables do not reach threads (but through asyncio.to_thread). Only output follows this: durable
operations belong to the task's own code.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from triggerdev.sdk import session as sessions
from triggerdev.sdk import spans
from triggerdev.sdk.session import RUN_MARK, SPAN_MARK, speaker

Marks = tuple[Any, Any]


def follow_threads() -> None:
    """Note from now on for whom threads are started and calls are submitted to thread pools."""
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def noted_start(self: threading.Thread) -> None:
        _mark(self, _marks())
        start(self)

    def noted_submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        return submit(self, _speak_for, _marks(), fn, args, kwargs)

    threading.Thread.start = noted_start  # type: ignore[method-assign]  # there is no hook for this
    ThreadPoolExecutor.submit = noted_submit  # type: ignore[method-assign,assignment]  # there is no hook for this


def _marks() -> Marks:
    running = speaker()
    return running, None if running is None else spans.current(running)


def _mark(thread: threading.Thread, marks: Marks) -> None:
    setattr(thread, RUN_MARK, marks[0])
    setattr(thread, SPAN_MARK, marks[1])


def _speak_for(marks: Marks, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    thread = threading.current_thread()
    previous = getattr(thread, RUN_MARK, None), sessions.thread_span()
    _mark(thread, marks)
    try:
        return call(*args, **kwargs)
    finally:
        _mark(thread, previous)
