"""Time and ids: the two sources that are injected, so that a test can hold them still."""

import base64
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger(__name__)
_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_SMALL_STEP_NS = 1_000_000_000


class Clock(Protocol):
    """Tells the time in milliseconds since the epoch."""

    def now(self) -> int: ...


def steady_ns() -> int:
    """Tell nanoseconds that setting the machine's clock does not change; on Linux its sleep counts."""
    return time.clock_gettime_ns(_STEADY)


class SystemClock:
    """The machine's clock, but for its jumps: what waits is not over sooner or later because it was set.

    A step of more than a second is left out as long as the process lives; smaller ones are followed, but
    never back. It may be read from several threads.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = steady_ns
    ) -> None:
        self._wall_ns, self._steady_ns = wall_ns, steady_ns
        self._reading = threading.Lock()
        self._wall, self._steady = wall_ns(), steady_ns()
        self._jumped = 0
        self._last = self._wall

    def now(self) -> int:
        """Tell the time in milliseconds since the epoch; it never goes back."""
        with self._reading:
            wall, steady = self._wall_ns(), self._steady_ns()
            step = (wall - self._wall) - (steady - self._steady)
            self._wall, self._steady = wall, steady
            if not -_SMALL_STEP_NS < step < _SMALL_STEP_NS:
                self._note(step)
            self._last = max(self._last, wall - self._jumped)
            return self._last // 1_000_000

    def _note(self, step: int) -> None:
        """Leave a step out, or forget that one was if it is undone."""
        self._jumped += step
        if -_SMALL_STEP_NS < self._jumped < _SMALL_STEP_NS:
            self._jumped = 0
        _log.warning(
            "the machine's clock was set %s by %.0f s. Waits and schedules go on by the time that passes;"
            " restart this server to have it follow the new time.",
            "forward" if step > 0 else "back",
            abs(step) / 1e9,
        )


class IdSource:
    """Makes ids such as `run_0d5f...`: 10 characters of time, 16 of chance, in base 32.

    Ids of later milliseconds sort after earlier ones, which keeps index pages of the store warm.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._randbytes: Callable[[int], bytes] = (rng or random.SystemRandom()).randbytes
        self._now = -1
        self._stamp = ""

    def make(self, prefix: str, now: int) -> str:
        if now != self._now:
            self._now = now
            packed = base64.b32hexencode((now << 2).to_bytes(8, "big")).decode().lower()
            self._stamp = packed[3:13]
        return f"{prefix}_{self._stamp}{base64.b32hexencode(self._randbytes(10)).decode().lower()}"
