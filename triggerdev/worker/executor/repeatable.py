"""Parts of asyncio that would take another way in a replay, made such that they do not, inside of runs."""

import asyncio
import asyncio.timeouts
from collections.abc import Iterable
from typing import Any

from triggerdev.worker.executor.branches import session_of

_as_completed: Any = asyncio.as_completed
_reschedule: Any = asyncio.timeouts.Timeout.reschedule


def install() -> None:
    """Replace the parts; again changes nothing."""
    asyncio.as_completed = asyncio.tasks.as_completed = ordered_as_completed
    asyncio.timeouts.Timeout.reschedule = timed_reschedule  # type: ignore[method-assign]  # that is what it is for


def ordered_as_completed(fs: Any, **options: Any) -> Any:
    """Do what asyncio.as_completed does, but create the tasks of a run in the order given.

    The original goes through a set, whose order changes from process to process, and with it the numbers of
    the tasks that a replay relies on.
    """
    if session_of(None) is not None and isinstance(fs, Iterable):
        fs = [asyncio.ensure_future(item) for item in fs]
    return _as_completed(fs, **options)


def timed_reschedule(self: Any, when: float | None) -> None:
    """Do what Timeout.reschedule does, but by a timer also where the time is over already.

    The original then calls back without one. On a busy machine that happens to short timeouts, too, and
    nobody could hold it back until what had come before it in the first execution has come again.
    """
    _reschedule(self, when)
    handle = self._timeout_handler
    if when is None or isinstance(handle, asyncio.TimerHandle) or session_of(None) is None:
        return
    handle.cancel()
    self._timeout_handler = asyncio.get_running_loop().call_at(when, self._on_timeout)
