"""The timers that a run's own code has set, such as those of `asyncio.sleep` and timeouts."""

import asyncio
import contextvars
from collections.abc import Callable, Container
from typing import Any


class Timers:
    """Timers of one run that have not acted yet."""

    __slots__ = ("_handles", "_kept", "_loop", "_owners")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handles: dict[int, asyncio.TimerHandle] = {}
        self._owners: dict[int, Any] = {}
        self._kept: list[tuple[Callable[[], None], contextvars.Context]] = []

    def __bool__(self) -> bool:
        if self._handles:
            self._handles = {key: timer for key, timer in self._handles.items() if not timer.cancelled()}
            self._owners = {key: self._owners[key] for key in self._handles}
        return bool(self._handles)

    def add(self, timer: asyncio.TimerHandle, owner: Any) -> None:
        """Note a timer that a branch has set."""
        self._handles[id(timer)] = timer
        self._owners[id(timer)] = owner

    def take(self, timer: asyncio.TimerHandle) -> bool:
        """Forget a timer that acts now; false if it has acted already."""
        self._owners.pop(id(timer), None)
        return self._handles.pop(id(timer), None) is not None and not timer.cancelled()

    def first(self) -> asyncio.TimerHandle | None:
        """Give the timer that is due first."""
        return min(self._handles.values(), key=lambda timer: timer.when()) if self else None

    def around(self, futures: Container[int]) -> list[asyncio.TimerHandle]:
        """Give the first timer of each branch that waits for one of these futures (by id)."""
        found: dict[int, asyncio.TimerHandle] = {}
        for timer, owner in self._by_time():
            if _awaited(owner) in futures:
                found.setdefault(id(owner), timer)
        return list(found.values())

    def beside(self, futures: Container[int]) -> list[asyncio.TimerHandle]:
        """Give the first timer of the branches that wait for something else, such as a sleep."""
        return [timer for timer, owner in self._by_time() if _awaited(owner) not in futures][:1]

    def _by_time(self) -> list[tuple[asyncio.TimerHandle, Any]]:
        timers = [(timer, self._owners[key]) for key, timer in self._handles.items() if not timer.cancelled()]
        return sorted(timers, key=lambda entry: entry[0].when())

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


def _awaited(owner: Any) -> int:
    return id(getattr(owner, "_fut_waiter", None))
