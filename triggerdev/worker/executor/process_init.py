"""Functions that are called once in a worker's process, before its first run (`tasks.init`)."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from triggerdev.worker.executor.binding import Bound

_NO_RUN = contextvars.Context()  # they belong to no run: prints go to the process, operations are refused


class ProcessInit:
    """Calls init functions, once; if one raises, the runs that wait fail and the next one tries again.

    `value` is what the last function that gave anything has returned: the `init` of runs and hooks.
    """

    def __init__(self, functions: Sequence[Bound]) -> None:
        self.is_done = False
        self.value: Any = None
        self._functions = functions
        self._lock = threading.Lock()
        self._running: asyncio.Task[None] | None = None

    async def on_loop(self) -> Any:
        """Call them on the running loop; whoever comes meanwhile waits for the same calls."""
        if not self.is_done:
            if self._running is None:
                # not by the loop's task factory: it is no branch of the run that happens to be first
                self._running = asyncio.Task(self._call_all(), context=_NO_RUN.copy())
                self._running.add_done_callback(self._ended)
            await asyncio.shield(self._running)
        return self.value

    async def _call_all(self) -> None:
        values = []
        for function in self._functions:
            value = function({})
            values.append(await value if hasattr(value, "__await__") else value)
        self._finish(values)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # those who wait have it

    def here(self, call: Callable[[Bound], Awaitable[Any]], drive: Callable[[Any], Any]) -> Any:
        """Call them in this thread by way of `call`."""
        with self._lock:
            if not self.is_done:
                self._finish([_NO_RUN.copy().run(drive, call(function)) for function in self._functions])
        return self.value

    def _finish(self, values: Sequence[Any]) -> None:
        self.value = next((value for value in reversed(values) if value is not None), None)
        self.is_done = True
