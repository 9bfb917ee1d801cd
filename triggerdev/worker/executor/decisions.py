"""What catch_error says about a failed attempt: again or not, when, and with which error."""

import math
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from triggerdev.protocol import Message
from triggerdev.sdk import times
from triggerdev.sdk.policy import as_retry

_CAMEL = {
    "skipRetrying": "skip_retrying",
    "retryAt": "retry_at",
    "retryDelayInMs": "retry_delay_in_ms",
}
_KNOWN = ("skip_retrying", "retry_at", "retry_delay_in_ms", "retry", "error")
_LAST_MS = 253_402_300_799_999  # the end of the year 9999


def read(answer: Any, error: BaseException) -> tuple[Message, BaseException]:
    """Read what catch_error returned, in snake or camel case, and the error that is told from now on.

    Raises TypeError, PayloadError or TaskDefinitionError, which say what is wrong with it.
    """
    if isinstance(answer, BaseException):
        return {}, answer
    if not isinstance(answer, dict):
        raise TypeError(
            f"catch_error returned {answer!r:.80}; return a dict such as {{'retry_at': ...}}, an exception,"
            " or None"
        )
    given: dict[str, Any] = {_CAMEL.get(str(name), str(name)): value for name, value in answer.items()}
    unknown = given.keys() - set(_KNOWN)
    if unknown:
        raise TypeError(f"catch_error returned an unknown key {min(unknown)!r}; use {', '.join(_KNOWN)}")
    replaced = given.get("error")
    if replaced is not None and not isinstance(replaced, BaseException):
        raise TypeError(f"catch_error returned error={replaced!r:.60}; use an exception")
    return _decision(given), replaced or error


def _decision(given: dict[str, Any]) -> Message:
    if given.get("skip_retrying"):
        return {"skip_retry": True}
    if given.get("retry_at") is not None:
        return {"retry_at": _instant(given["retry_at"])}
    if given.get("retry_delay_in_ms") is not None:
        return {"retry_delay_ms": _delay(given["retry_delay_in_ms"])}
    policy = as_retry(given.get("retry"), "catch_error: retry")
    return {} if policy is None else {"retry": policy.info()}


def _instant(value: Any) -> int:
    if isinstance(value, (datetime, str)):
        return times.instant_ms(value, "retry_at")
    if not _is_number(value) or not 0 <= value <= _LAST_MS:
        raise TypeError(
            f"catch_error returned retry_at={value!r:.60}; use a datetime, or milliseconds since 1970"
        )
    return round(value)


def _delay(value: Any) -> int:
    ms: Any = value / timedelta(milliseconds=1) if isinstance(value, timedelta) else value
    if not _is_number(ms) or not 0 <= ms <= _LAST_MS:
        raise TypeError(f"catch_error returned retry_delay_in_ms={value!r:.60}; use milliseconds, 0 or more")
    return round(ms)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
