"""Time and ids: the two sources that are injected, so that a test can hold them still."""

import base64
import random
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Tells the time in milliseconds since the epoch."""

    def now(self) -> int: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000


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
