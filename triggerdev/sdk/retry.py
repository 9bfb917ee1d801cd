"""`retry`: repeat a part of a task in place. Its pauses are ordinary sleeps: short, billed, not recorded."""

import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from triggerdev.errors import AbortTaskRunError, UsageError
from triggerdev.sdk import http
from triggerdev.sdk.calls import Call, drive, refuse_loop
from triggerdev.sdk.policy import Retry, as_retry

if TYPE_CHECKING:
    import httpx

__all__ = ["fetch", "on_throw", "sync"]

T = TypeVar("T")
_MOST_FETCH_TRIES = 10
_DEFAULT_STATUSES = "429,408,409,5xx"


class RetryOptions(TypedDict, total=False):
    """A retry policy by keyword: as `Retry`."""

    max_attempts: int
    factor: float
    min_timeout_in_ms: int
    max_timeout_in_ms: int
    randomize: bool


def delay_ms(policy: Retry, attempt: int) -> float | None:
    """Give the pause after a failed attempt, None if it was the last."""
    if attempt >= policy.max_attempts:
        return None
    spread = 1 + random.random() if policy.randomize else 1  # noqa: S311 - spreads load, hides nothing
    return round(
        min(policy.max_timeout_in_ms, spread * policy.min_timeout_in_ms * policy.factor ** (attempt - 1))
    )


async def _on_throw(function: Callable[..., Any], options: RetryOptions) -> Any:
    policy = Retry(**options)
    call = _accepting(function)
    attempt = 1
    while True:
        try:
            outcome = call(attempt, policy.max_attempts)
            return await outcome if inspect.isawaitable(outcome) else outcome
        except AbortTaskRunError:
            raise
        except Exception:
            ms = delay_ms(policy, attempt)
            if ms is None:
                raise
        await http.sleep(ms / 1000)
        attempt += 1


def _accepting(function: Callable[..., Any]) -> Callable[[int, int], Any]:
    """Adapt a function that may take `attempt` and `max_attempts` by name."""
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):
        names = {}  # type: ignore[assignment]  # a builtin without signature takes no arguments of ours
    wanted = [name for name in ("attempt", "max_attempts") if name in names]

    def call(attempt: int, max_attempts: int) -> Any:
        values = {"attempt": attempt, "max_attempts": max_attempts}
        return function(**{name: values[name] for name in wanted})

    return call


def on_throw(function: Callable[..., Awaitable[T]], **options: Unpack[RetryOptions]) -> Call[T]:
    """Call a function until it does not raise; it may take `attempt` and `max_attempts`.

    AbortTaskRunError ends it at once; the last error is raised as it is.
    """
    return Call(_on_throw(function, options))


def _on_throw_blocking(function: Callable[..., T], **options: Unpack[RetryOptions]) -> T:
    """Call a function until it does not raise; it may take `attempt` and `max_attempts`."""
    refuse_loop("retry.on_throw")
    result: T = drive(_on_throw(function, options))
    return result


class FetchRetry(TypedDict, total=False):
    """When `fetch` repeats a request.

    Either `condition(response, error)` with the options of a policy, or `by_status` ({"429,5xx": policy}),
    `connection_error` and `timeout` (a policy each).
    """

    max_attempts: int
    factor: float
    min_timeout_in_ms: int
    max_timeout_in_ms: int
    randomize: bool
    condition: Callable[[Any, Exception | None], bool]
    by_status: Mapping[str, Mapping[str, Any] | Retry]
    connection_error: Mapping[str, Any] | Retry
    timeout: Mapping[str, Any] | Retry


class _FetchPolicy:
    """Decides after each try whether, and under which policy, a request is repeated."""

    def __init__(self, retry: FetchRetry | None) -> None:
        given = dict(retry or {})
        self._condition: Any = given.pop("condition", None)
        by_status: Any = given.pop("by_status", None)
        on_connection: Any = given.pop("connection_error", None)
        on_timeout: Any = given.pop("timeout", None)
        base = as_retry(given) or Retry()
        self._base = base
        self._by_status = {
            key: as_retry(value) or base for key, value in (by_status or {_DEFAULT_STATUSES: base}).items()
        }
        self._on_connection = as_retry(on_connection) or base
        self._on_timeout = as_retry(on_timeout) or base

    def after(self, response: "httpx.Response | None", error: Exception | None) -> Retry | None:
        import httpx

        if self._condition is not None:
            return self._base if self._condition(response, error) else None
        if isinstance(error, httpx.TimeoutException):
            return self._on_timeout
        if error is not None:
            return self._on_connection
        assert response is not None
        matches = (
            policy for keys, policy in self._by_status.items() if _status_matches(keys, response.status_code)
        )
        return next(matches, None)


def _status_matches(keys: str, status: int) -> bool:
    for key in (part.strip() for part in keys.split(",")):
        low, dash, high = key.partition("-")
        if key == "all" or key == str(status) or (key.endswith("xx") and key[0] == str(status)[0]):
            return True
        if dash and low.isdigit() and high.isdigit() and int(low) <= status <= int(high):
            return True
    return False


async def _fetch(
    url: str, method: str, retry: FetchRetry | None, timeout_in_ms: float | None, options: dict[str, Any]
) -> "httpx.Response":
    import httpx

    policy = _FetchPolicy(retry)
    timeout = None if timeout_in_ms is None else timeout_in_ms / 1000
    headers = dict(options.pop("headers", None) or {})
    attempt = 1
    while True:
        sent = {**headers, "x-retry-count": str(attempt - 1)} if attempt > 1 else headers
        response, error = await _try(httpx, method, url, {**options, "headers": sent, "timeout": timeout})
        again = policy.after(response, error)
        ms = delay_ms(again, attempt) if again and attempt < _MOST_FETCH_TRIES else None
        if ms is None:
            if error is not None:
                raise error
            assert response is not None
            return response
        await http.sleep(ms / 1000)
        attempt += 1


async def _try(
    httpx: Any, method: str, url: str, options: dict[str, Any]
) -> "tuple[httpx.Response | None, Exception | None]":
    from triggerdev.sdk.calls import running_loop

    timeout = options.pop("timeout")
    limits = {} if timeout is None else {"timeout": timeout}
    try:
        if running_loop() is None:
            with httpx.Client(follow_redirects=True, **limits) as client:
                return client.request(method, url, **options), None
        async with httpx.AsyncClient(follow_redirects=True, **limits) as client:
            return await client.request(method, url, **options), None
    except httpx.UnsupportedProtocol as error:
        raise UsageError(f"retry.fetch cannot fetch {url!r}: {error}") from None
    except httpx.TransportError as error:
        return None, error


def fetch(
    url: str,
    *,
    method: str = "GET",
    retry: FetchRetry | None = None,
    timeout_in_ms: float | None = None,
    **options: Any,
) -> "Call[httpx.Response]":
    """Request a URL, repeated by policy (at most 10 tries); further options are httpx's (json, headers, ...).

    Without `retry`, statuses 408, 409, 429, 5xx, connection errors and timeouts are tried 3 times. The last
    response is returned whatever its status; the last connection error is raised.
    """
    return Call(_fetch(url, method, retry, timeout_in_ms, options))


def _fetch_blocking(
    url: str,
    *,
    method: str = "GET",
    retry: FetchRetry | None = None,
    timeout_in_ms: float | None = None,
    **options: Any,
) -> "httpx.Response":
    """Request a URL, repeated by policy (at most 10 tries)."""
    refuse_loop("retry.fetch")
    return drive(_fetch(url, method, retry, timeout_in_ms, options))


class _Sync:
    """The same calls for code without an event loop."""

    on_throw = staticmethod(_on_throw_blocking)
    fetch = staticmethod(_fetch_blocking)


sync = _Sync()
