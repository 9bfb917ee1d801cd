"""`retry`: repeat a part of a task in place. Its pauses are ordinary sleeps: short, billed, not recorded."""

import inspect
import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from triggerdev.errors import AbortTaskRunError, UsageError
from triggerdev.sdk import http
from triggerdev.sdk.calls import Call, drive, refuse_loop
from triggerdev.sdk.fetching import FetchPolicy, FetchRetry
from triggerdev.sdk.policy import Retry, as_retry, delay_ms

if TYPE_CHECKING:
    import httpx

__all__ = ["fetch", "on_throw", "sync"]

T = TypeVar("T")


class RetryOptions(TypedDict, total=False):
    """A retry policy by keyword: as `Retry`."""

    max_attempts: int
    factor: float
    min_timeout_in_ms: float
    max_timeout_in_ms: float
    randomize: bool


async def _on_throw(function: Callable[..., Any], policy: Retry) -> Any:
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


def _read(function: Any, options: RetryOptions) -> Retry:
    """Check what on_throw was given. Raises UsageError that names the argument."""
    if not callable(function):
        raise UsageError(
            f"retry.on_throw({function!r:.60}) takes a function, which it may call more than once; without"
            " calling it there: retry.on_throw(work)."
        )
    policy = as_retry(options, "retry.on_throw")
    assert policy is not None
    return policy


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

    AbortTaskRunError ends it at once; the last error is raised as it is. Raises UsageError for options that
    make no sense.
    """
    return Call(_on_throw(function, _read(function, options)))


def _on_throw_blocking(function: Callable[..., T], **options: Unpack[RetryOptions]) -> T:
    """Call a function until it does not raise; it may take `attempt` and `max_attempts`."""
    refuse_loop("retry.on_throw")
    result: T = drive(_on_throw(function, _read(function, options)))
    return result


async def _fetch(
    url: str, method: str, policy: FetchPolicy, timeout_in_ms: float | None, options: dict[str, Any]
) -> "httpx.Response":
    from triggerdev.sdk.requesting import Requester

    headers = dict(options.pop("headers", None) or {})
    requester = Requester(timeout_in_ms)
    try:
        for attempt in itertools.count(1):
            sent = {**headers, "x-retry-count": str(attempt)}
            response, error = await requester.send(method, url, {**options, "headers": sent})
            ms = await policy.pause_ms(response, error, attempt)
            if ms is None:
                break
            await http.sleep(ms / 1000)
    finally:
        await requester.close()
    if error is not None:
        raise error
    assert response is not None
    return response


def _read_fetch(retry: FetchRetry | None, timeout_in_ms: Any) -> FetchPolicy:
    is_number = isinstance(timeout_in_ms, (int, float)) and not isinstance(timeout_in_ms, bool)
    if timeout_in_ms is not None and not (is_number and 0 < timeout_in_ms < float("inf")):
        raise UsageError(f"retry.fetch(timeout_in_ms={timeout_in_ms!r}): use milliseconds above 0, or None.")
    return FetchPolicy(retry)


def fetch(
    url: str,
    *,
    method: str = "GET",
    retry: FetchRetry | None = None,
    timeout_in_ms: float | None = None,
    **options: Any,
) -> "Call[httpx.Response]":
    """Request a URL, repeated by policy (at most 10 tries); further options are httpx's (json, headers, ...).

    Without `retry`, statuses 408, 409, 429, 5xx, connection errors and timeouts are tried 3 times.
    `timeout_in_ms` is for one try as a whole; without it, httpx's own 5 s for each step. The last response is
    returned whatever its status; the last connection error or timeout is raised. The header x-retry-count has
    the number of the try. Raises UsageError for options that make no sense.
    """
    return Call(_fetch(url, method, _read_fetch(retry, timeout_in_ms), timeout_in_ms, options))


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
    return drive(_fetch(url, method, _read_fetch(retry, timeout_in_ms), timeout_in_ms, options))


class _Sync:
    """The same calls for code without an event loop."""

    on_throw = staticmethod(_on_throw_blocking)
    fetch = staticmethod(_fetch_blocking)


sync = _Sync()
