"""Slots of schedules over changes of time, computed from offsets alone: another way than the engine's."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

HOUR, DAY = 3_600, 86_400
ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Istanbul", "America/New_York", "America/St_Johns"),
    *("America/Sao_Paulo", "America/Santiago", "America/Asuncion", "America/Mexico_City", "America/Havana"),
    *("Africa/Casablanca", "Africa/Cairo", "Asia/Tehran", "Asia/Amman", "Asia/Beirut", "Asia/Kolkata"),
    *("Australia/Lord_Howe", "Australia/Sydney", "Pacific/Chatham", "Pacific/Apia"),
)
DAILY = ("30 2 * * *", "15 1 * * *", "0 0 * * *", "45 3 * * *")
STEADY = ("0 * * * *", "*/30 * * * *")


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds since the epoch between two changes of a zone's offset (in seconds)."""

    first: int
    end: int
    offset: int


def spans(zone: str, first: int, end: int) -> list[Span]:
    """Cut a time into spans of one offset each; changes are on full minutes."""
    info = ZoneInfo(zone)
    found, begin, offset = [], first, _offset(info, first)
    for at in range(first + HOUR, end + HOUR, HOUR):
        at = min(at, end)
        if (following := _offset(info, at)) != offset:
            change = _change(info, at - HOUR, at)
            found.append(Span(begin, change, offset))
            begin, offset = change, following
    return [*found, Span(begin, end, offset)]


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """Find the minute of a change between two times."""
    old = _offset(zone, before)
    return next(at for at in range(before, after + 60, 60) if _offset(zone, at) != old)


def steady_slots(parts: list[Span], period: int) -> list[int]:
    """List the slots that follow real time: all at which the local clock shows a multiple of the period."""
    return [
        at
        for part in parts
        for at in range(part.first + -(part.first + part.offset) % period, part.end, period)
    ]


def daily_slots(parts: list[Span], seconds: int) -> list[int]:
    """List one slot a day: at the first time the clock shows it, or at the change that skips it."""
    first, last = parts[0], parts[-1]
    day = (first.first + first.offset) // DAY * DAY
    found = []
    while day <= last.end + last.offset:
        at = _first_time(parts, day + seconds)
        if at is not None:
            found.append(at)
        day += DAY
    return found


def _first_time(parts: list[Span], local: int) -> int | None:
    if local < parts[0].first + parts[0].offset:
        return None
    for part in parts:
        if part.first <= local - part.offset < part.end:
            return local - part.offset
        if part.first + part.offset > local:
            return part.first  # the clock went from before it to behind it
    return None


def expected(expression: str, zone: str, first: int, end: int) -> list[int]:
    """List the slots of one of the expressions here, from `first` (exclusive) to `end` (exclusive)."""
    parts = spans(zone, first, end)
    minute, hour = expression.split()[:2]
    if hour == "*":
        found = steady_slots(parts, HOUR if minute == "0" else HOUR // 2)
    else:
        found = daily_slots(parts, int(hour) * HOUR + int(minute) * 60)
    return [at for at in found if at > first]
