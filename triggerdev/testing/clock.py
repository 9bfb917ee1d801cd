"""Time that moves only when it is told to."""

import time
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """A clock for an engine; it begins at `now`, by default the real time."""

    def __init__(self, now: datetime | None = None) -> None:
        if now is not None and now.tzinfo is None:
            now = now.replace(tzinfo=UTC)
        self._now = time.time_ns() // 1_000_000 if now is None else to_ms(now)

    def now(self) -> int:
        """Tell the time in milliseconds since the epoch."""
        return self._now

    def move_to(self, at: int) -> None:
        """Go to a time (milliseconds since the epoch); never back."""
        self._now = max(self._now, at)


def to_ms(moment: datetime) -> int:
    """Convert a moment to milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)


def to_datetime(at: int) -> datetime:
    """Convert milliseconds since the epoch to a moment in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
