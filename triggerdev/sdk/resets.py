"""When a rate limit is over: the values that services write into their headers."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, get_args

from triggerdev import _durations

Format = Literal[
    "unix_timestamp",
    "unix_timestamp_in_ms",
    "iso_8601",
    "iso_8601_duration_openai_variant",
    "retry_after",
]
FORMATS: tuple[str, ...] = get_args(Format)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SECONDS = (86_400, 3600, 60, 1, 0.001)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?")
_LONGEST = 100


def reset_at(text: str, format_: str, now: float) -> float | None:
    """Read a header's value as seconds since the epoch; None for one that makes no sense.

    "unix_timestamp" and "unix_timestamp_in_ms": a moment. "iso_8601": a moment with date. "retry_after":
    seconds from now, or an HTTP date. "iso_8601_duration_openai_variant": "1d2h3m4.5s", "500ms" from now.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if format_ == "iso_8601_duration_openai_variant":
        return _after_duration(text, now)
    if format_ == "iso_8601":
        ms = _durations.parse_instant_ms(text)
        return None if ms is None else ms / 1000
    number = float(text) if _NUMBER.fullmatch(text) else None
    if format_ == "retry_after":
        return _http_date(text) if number is None else now + number
    if number is None:
        return None
    return number / 1000 if format_ == "unix_timestamp_in_ms" else number


def _after_duration(text: str, now: float) -> float | None:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    return now + sum(float(part or 0) * size for part, size in zip(match.groups(), _SECONDS, strict=True))


def _http_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware: datetime = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.timestamp()
