"""Durations as people write them: seconds, or text such as "5m" and "2h30m"."""

import math
import re
from datetime import UTC, datetime, timedelta

_UNITS = {"w": 604_800_000, "d": 86_400_000, "hr": 3_600_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_WHOLE = re.compile(r"(?:\d+(?:w|d|hr|h|m|s))+")
_PART = re.compile(r"(\d+)(w|d|hr|h|m|s)")
_MAX_LENGTH = 100


def parse_duration_ms(text: str) -> int | None:
    """Read "30s", "5m", "2h30m", "1w2d" as milliseconds; None for anything else.

    Units: w, d, h (or hr), m, s, combinable in any order, whole numbers, at most 100 characters.
    """
    if len(text) > _MAX_LENGTH or not _WHOLE.fullmatch(text):
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def to_ms(value: object) -> int | None:
    """Read a duration of any accepted form as milliseconds; numbers are seconds. None: no duration."""
    if isinstance(value, timedelta):
        return round(value.total_seconds() * 1000)
    if isinstance(value, str):
        return parse_duration_ms(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return round(value * 1000)


def format_ms(ms: float) -> str:
    """Write milliseconds for people: "12ms", "3.4s", "2m05s", "1h02m", "3d04h"."""
    if ms < 1000:
        return f"{ms:.0f}ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h"


def iso(ms: int) -> str:
    """Write milliseconds since the epoch as ISO 8601 in UTC, with milliseconds and Z."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def parse_instant_ms(text: str) -> int | None:
    """Read an ISO 8601 date or date-time as milliseconds since the epoch; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


_SHORT_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))


def short(ms: int) -> str:
    """Write a duration as people write it: "2h30m", "500ms"."""
    text, rest = "", ms
    for size, unit in _SHORT_UNITS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
