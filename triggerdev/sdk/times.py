"""Durations and instants of calls, checked here so that a mistake is reported at the user's line."""

from datetime import UTC, datetime, timedelta

from triggerdev import _durations
from triggerdev.errors import PayloadError

Duration = str | float | timedelta
_LONGEST_MS = 100 * 366 * 86_400_000
_FORMS = "use text such as '30s', '5m', '2h30m'"


def duration_ms(value: Duration, option: str) -> int:
    """Read a duration of any accepted form as milliseconds; numbers are seconds. Raises PayloadError."""
    ms = _durations.to_ms(value)
    if ms is None:
        raise PayloadError(f"{option}={value!r:.60} is no duration: {_FORMS}, seconds, or a timedelta.")
    if ms < 0:
        raise PayloadError(f"{option}={value!r:.60} is negative.")
    if ms > _LONGEST_MS:
        raise PayloadError(f"{option}={value!r:.60} is longer than a hundred years.")
    return ms


def instant_ms(value: datetime | str, option: str) -> int:
    """Read a moment as milliseconds since the epoch; a datetime without time zone is local time."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    ms = _durations.parse_instant_ms(value) if isinstance(value, str) else None
    if ms is None:
        raise PayloadError(f"{option}={value!r:.60} is no ISO 8601 date.")
    return ms


def moment_or_duration(value: str | float | timedelta | datetime, option: str) -> str:
    """Write a delay or timeout for the wire: a duration as it is, a moment as ISO. Raises PayloadError."""
    if isinstance(value, datetime):
        return _durations.iso(instant_ms(value, option))
    if isinstance(value, str):
        if _durations.parse_duration_ms(value) is None and _durations.parse_instant_ms(value) is None:
            raise PayloadError(
                f"{option}={value!r:.60} is neither a duration ({_FORMS}) nor an ISO 8601 date."
            )
        return value
    ms = duration_ms(value, option)
    if ms % 1000 == 0:
        return f"{ms // 1000}s"
    return _durations.iso(round(datetime.now(UTC).timestamp() * 1000) + ms)


def duration_text(value: Duration, option: str) -> str:
    """Write a duration for the wire in whole seconds, rounded up; text goes as it is. Raises PayloadError."""
    ms = duration_ms(value, option)
    return value if isinstance(value, str) else f"{-(-ms // 1000)}s"


def parse_moment(text: str | None) -> datetime | None:
    """Read an ISO 8601 moment of an answer; None stays None."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def from_ms(ms: int) -> datetime:
    """Give milliseconds since the epoch as a datetime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def require_moment(text: str) -> datetime:
    """Read an ISO 8601 moment that is always there."""
    moment = parse_moment(text)
    assert moment is not None
    return moment
