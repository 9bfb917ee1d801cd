"""The end of a coroutine's max_duration: a timer on the loop, for as long as the run computes."""

import asyncio
from collections.abc import Callable

from triggerdev.worker.executor.branches import NO_RUN
from triggerdev.worker.executor.compute import ComputeClock


class Deadline:
    """Calls `reached` once the clock has come to the limit (ms; None: never)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: ComputeClock,
        limit_ms: int | None,
        reached: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._limit = limit_ms
        self._reached = reached
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Watch the clock, which runs."""
        if self._limit is not None:
            left = max(0.0, self._limit - self._clock.total_ms) / 1000
            self._timer = self._loop.call_later(left, self._look, context=NO_RUN)

    def disarm(self) -> None:
        """Look no more: the clock stands still, or the run ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        assert self._limit is not None
        if self._clock.total_ms < self._limit:
            self.arm()  # a part of the time was taken off: another run had blocked the loop
        else:
            self._reached()
