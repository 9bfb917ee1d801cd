"""When `retry.fetch` repeats a request, and after which pause: by condition, status, kind of failure."""

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from triggerdev.errors import UsageError
from triggerdev.sdk import resets
from triggerdev.sdk.policy import Retry, as_retry, delay_ms

if TYPE_CHECKING:
    import httpx

MOST_TRIES = 10
_DEFAULT_STATUSES = "429,408,409,5xx"
_STATUSES = re.compile(r"all|[1-5]xx|[1-5]\dx|[1-5]\d\d(-[1-5]\d\d)?")
_SELECTORS = ("condition", "by_status", "timeout", "connection_error")
_HEADER_OPTIONS = ("reset_header", "limit_header", "remaining_header", "reset_format")


class Strategy(TypedDict, total=False):
    """What to do on a status.

    "backoff" (the default): pauses of a policy. "headers": the pause that the answer asks for in
    `reset_header` ("retry-after" if there is none), written in `reset_format`; `limit_header` and
    `remaining_header` may be named and change nothing. An answer without that header is returned.
    """

    strategy: Literal["backoff", "headers"]
    reset_header: str
    reset_format: resets.Format
    limit_header: str
    remaining_header: str
    max_attempts: int
    factor: float
    min_timeout_in_ms: float
    max_timeout_in_ms: float
    randomize: bool


class FetchRetry(TypedDict, total=False):
    """When `fetch` repeats a request.

    Either `condition(response, error)`, asked after each try, with the options of a policy; or `by_status`
    ({"429": strategy, "500-599,408": policy}), `timeout` and `connection_error` (a policy each). What is not
    there has the default: 3 tries, the first pause a second or two.
    """

    max_attempts: int
    factor: float
    min_timeout_in_ms: float
    max_timeout_in_ms: float
    randomize: bool
    condition: "Callable[[Any, Exception | None], Any]"
    by_status: Mapping[str, Strategy | Retry]
    connection_error: Mapping[str, Any] | Retry
    timeout: Mapping[str, Any] | Retry


Pause = Callable[["httpx.Response | None", int], float | None]  # of (response, try): ms, None: not again


class FetchPolicy:
    """Decides after each try whether, and after which pause, a request is repeated."""

    def __init__(self, retry: FetchRetry | None) -> None:
        if not isinstance(retry, Mapping | None):
            raise UsageError(
                f"retry.fetch(retry={retry!r:.80}): use a mapping such as {{'max_attempts': 5}}."
            )
        given: dict[str, Any] = dict(retry or {})
        chosen = {name: given.pop(name) for name in _SELECTORS if given.get(name) is not None}
        base = _policy({name: value for name, value in given.items() if name not in _SELECTORS}, "retry")
        self._base = _backoff(base)
        self._condition = _condition(chosen)
        self._by_status = _by_status(chosen.get("by_status"), base)
        self._on_timeout = _backoff(_policy(chosen.get("timeout"), "timeout", base))
        self._on_connection = _backoff(_policy(chosen.get("connection_error"), "connection_error", base))

    async def pause_ms(
        self, response: "httpx.Response | None", error: Exception | None, attempt: int
    ) -> float | None:
        """Give the pause before the next try; None: this one was the last."""
        if attempt >= MOST_TRIES:
            return None
        pause = await self._choose(response, error)
        return pause(response, attempt) if pause is not None else None

    async def _choose(self, response: "httpx.Response | None", error: Exception | None) -> Pause | None:
        import httpx

        if self._condition is not None:
            wanted = self._condition(response, error)
            return self._base if (await wanted if hasattr(wanted, "__await__") else wanted) else None
        if isinstance(error, httpx.TimeoutException):
            return self._on_timeout
        if error is not None:
            return self._on_connection
        assert response is not None
        if response.is_success:
            return None
        found = (
            pause for keys, pause in self._by_status.items() if status_matches(keys, response.status_code)
        )
        return next(found, None)


def _condition(chosen: dict[str, Any]) -> Any:
    condition = chosen.get("condition")
    if condition is None:
        return None
    if not callable(condition):
        raise UsageError(
            f"retry.fetch: condition={condition!r:.60} is not callable; give a function of (response, error)."
        )
    if len(chosen) > 1:
        other = min(chosen.keys() - {"condition"})
        raise UsageError(f"retry.fetch: condition decides about everything; leave out {other}, or condition.")
    return condition


def _policy(value: Any, option: str, default: Retry | None = None) -> Retry:
    if value is None or (default is None and not value):
        return default or Retry()
    policy = as_retry(value, f"retry.fetch: {option}")
    assert policy is not None
    return policy


def _backoff(policy: Retry) -> Pause:
    return lambda _, attempt: delay_ms(policy, attempt)


def _by_status(given: Any, base: Retry) -> dict[str, Pause]:
    if given is None:
        return {_DEFAULT_STATUSES: _backoff(base)}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"retry.fetch: by_status={given!r:.60}: use a mapping such as {{'429,5xx': {{...}}}}."
        )
    for keys in given:
        parts = [part.strip() for part in keys.split(",")] if isinstance(keys, str) else [""]
        if not all(map(_STATUSES.fullmatch, parts)):
            raise UsageError(
                f"retry.fetch: by_status has the key {keys!r}; use '429', '5xx', '500-599', 'all', or several"
                " with commas between them."
            )
    return {keys: _strategy(f"by_status[{keys!r}]", value, base) for keys, value in given.items()}


def _strategy(place: str, value: Any, base: Retry) -> Pause:
    if not isinstance(value, Mapping):
        return _backoff(_policy(value, place, base))
    options = dict(value)
    kind = options.pop("strategy", "backoff")
    if kind == "backoff":
        return _backoff(_policy(options, place, base) if options else base)
    if kind == "headers":
        return _by_headers(place, options)
    raise UsageError(f"retry.fetch: {place} has strategy={kind!r}; use 'backoff' or 'headers'.")


def _by_headers(place: str, options: dict[str, Any]) -> Pause:
    names = {name: options.pop(name) for name in _HEADER_OPTIONS if options.get(name) is not None}
    for name, value in names.items():
        if not isinstance(value, str) or not value:
            raise UsageError(f"retry.fetch: {place} has {name}={value!r}; use the name of a header.")
    header = names.get("reset_header", "retry-after").lower()
    default = "retry_after" if header == "retry-after" else "unix_timestamp_in_ms"
    format_ = names.get("reset_format", default)
    if format_ not in resets.FORMATS:
        known = ", ".join(resets.FORMATS)
        raise UsageError(f"retry.fetch: {place} has reset_format={format_!r}; use one of {known}.")
    longest = options.get("max_timeout_in_ms")
    policy = _policy({"max_attempts": MOST_TRIES, **options}, place)

    def pause(response: "httpx.Response | None", attempt: int) -> float | None:
        text = response.headers.get(header) if response is not None else None
        at = resets.reset_at(text, format_, time.time()) if text is not None else None
        if at is None or attempt >= policy.max_attempts:
            return None
        ms = max(0.0, (at - time.time()) * 1000)
        return None if longest is not None and ms > longest else ms

    return pause


def status_matches(keys: str, status: int) -> bool:
    """Say whether a status is among "429", "4xx", "50x", "500-599", "all", or several of them."""
    return any(_matches(key.strip(), status) for key in keys.split(","))


def _matches(key: str, status: int) -> bool:
    low, dash, high = key.partition("-")
    if dash:
        return int(low) <= status <= int(high)
    return key == "all" or str(status).startswith(key.rstrip("x"))
