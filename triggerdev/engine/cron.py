"""Cron slots: when a schedule is due, in its own time zone."""

import functools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from triggerdev import errors

_HOUR = 3_600_000
_WINDOWS = (_HOUR, 25 * _HOUR, 32 * 24 * _HOUR, 367 * 24 * _HOUR, 30 * 367 * 24 * _HOUR)


def check(expression: str, timezone: str) -> None:
    """Refuse an expression or a zone that cannot be used. Raises InvalidOptionError."""
    if timezone not in _zones():
        raise errors.InvalidOptionError(
            f"Invalid IANA timezone: {timezone!r}. See GET /api/v1/timezones for the names."
        )
    if len(expression.split()) != 5:
        raise errors.InvalidOptionError(
            f"Invalid cron expression: {expression!r} needs five fields (minute hour day month weekday)."
        )
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise errors.InvalidOptionError(f"Invalid cron expression: {expression!r} ({error}).") from error


@functools.lru_cache(maxsize=1024)
def describe(expression: str) -> str:
    """Say in words when an expression is due: "At 09:00 every day"."""
    try:
        return str(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)).explain())
    except CronSimError:
        return f"cron {expression}"


@functools.cache
def _zones() -> frozenset[str]:
    """Read the names of the time zones, once: that takes 20 ms."""
    return frozenset(available_timezones())


def upcoming(expression: str, timezone: str, after: int, count: int) -> list[int]:
    """List the next `count` slots strictly after a time (both in milliseconds since the epoch).

    A local time that a DST change skips runs once, at the change; one that it repeats runs once. Where the
    expression's minute or hour begins with `*`, slots are the local times that real time comes to: what is
    skipped is not there, each repeat counts.
    """
    start = datetime.fromtimestamp(after / 1000, UTC).astimezone(ZoneInfo(timezone))
    slots: list[int] = []
    last = after
    for moment in CronSim(expression, start):
        stamp = round(moment.timestamp() * 1000)
        if stamp > last:
            slots.append(stamp)
            last = stamp
        if len(slots) == count:
            break
    return slots


def next_slot(expression: str, timezone: str, after: int) -> int | None:
    """Find the first slot strictly after a time; None if the expression never matches again."""
    found = upcoming(expression, timezone, after, 1)
    return found[0] if found else None


def latest_missed(expression: str, timezone: str, first: int, now: int) -> int:
    """Find the last slot that is not after `now`, knowing that `first` is one."""
    for window in _WINDOWS:
        start = max(first, now - window)
        latest = _last_between(expression, timezone, start, now)
        if latest is not None:
            return latest
        if start == first:
            break
    return first


def _last_between(expression: str, timezone: str, after: int, until: int) -> int | None:
    start = datetime.fromtimestamp(after / 1000, UTC).astimezone(ZoneInfo(timezone))
    latest = None
    for moment in CronSim(expression, start):
        stamp = round(moment.timestamp() * 1000)
        if stamp > until:
            break
        latest = stamp
    return latest
