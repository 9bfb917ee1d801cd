"""The timers that a run's own code has set, such as those of `asyncio.sleep` and timeouts."""

import asyncio
import contextvars
import heapq
from collections.abc import Callable


class Timers:
    """Timers of one run that have not acted yet."""

    __slots__ = ("_handles", "_kept", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handles: dict[int, asyncio.TimerHandle] = {}
        self._kept: list[tuple[Callable[[], None], contextvars.Context]] = []

    def __bool__(self) -> bool:
        if self._handles:
            self._handles = {key: timer for key, timer in self._handles.items() if not timer.cancelled()}
        return bool(self._handles)

    def add(self, timer: asyncio.TimerHandle) -> None:
        """Note a timer that was set."""
        self._handles[id(timer)] = timer

    def take(self, timer: asyncio.TimerHandle) -> bool:
        """Forget a timer that acts now; false if it has acted already."""
        return self._handles.pop(id(timer), None) is not None and not timer.cancelled()

    def first(self, count: int = 1) -> list[asyncio.TimerHandle]:
        """Give the timers that are due first."""
        return heapq.nsmallest(count, self._handles.values(), key=lambda timer: timer.when()) if self else []

    def fire_due(self) -> None:
        """Let those act that are due, and were held back."""
        now = self._loop.time()
        due = [timer for timer in self._handles.values() if timer.when() <= now and not timer.cancelled()]
        for timer in sorted(due, key=lambda timer: timer.when()):
            if not timer.cancelled():  # by one before it
                timer._run()

    def keep(self, call: Callable[[], None]) -> None:
        """Keep what a timer calls, in the present context, until `go_on`."""
        self._kept.append((call, contextvars.copy_context()))

    def go_on(self) -> None:
        """Let the timers act that were kept, in the next turn of the loop."""
        kept, self._kept = self._kept, []
        for call, variables in kept:
            self._loop.call_soon(call, context=variables)
