"""The HTTP client behind calls made outside of runs, and behind queries made inside.

One pooled client for each event loop and one for each thread that has none. An asyncio client closes with its
loop, a blocking one with its thread or with the process. httpx is imported at the first request.
"""

import atexit
import os
import sys
import threading
import uuid
import weakref
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from triggerdev import _json, errors
from triggerdev._version import __version__
from triggerdev.sdk.calls import running_loop

if TYPE_CHECKING:
    import httpx

API_VERSION = "2025-07-16"
RETRIED = frozenset({408, 429})
_FACTOR = 1.6
_MAX_PAUSE_S = 30.0
_TRANSFER_S = 120.0  # for 10 MB, over whatever line


@dataclass
class Settings:
    """Where and who: explicit settings win over a worker's, those over the environment."""

    api_url: str | None = None
    secret_key: str | None = None
    max_tries: int = 5
    retry_delay_s: float = 1.0
    timeout_s: float = 30.0
    transport: Any = None


@dataclass
class Answer:
    """A successful answer: the parsed body and the headers, with lower-case names."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


_configured = Settings()
_worker: tuple[str | None, str | None] = (None, None)


def configure(
    *,
    api_url: str | None = None,
    secret_key: str | None = None,
    max_tries: int = 5,
    retry_delay: float = 1.0,
    timeout: float = 30.0,
    transport: Any = None,
) -> None:
    """Set where the server is and who calls, in place of TRIGGER_API_URL and TRIGGER_SECRET_KEY.

    `max_tries`, `retry_delay` (seconds, grows by 1.6) and `timeout` (seconds) are for each request;
    `transport` is an httpx transport, for tests.
    """
    global _configured
    _configured = Settings(api_url, secret_key, max_tries, retry_delay, timeout, transport)
    _clients.forget()


def use_worker_settings(api_url: str | None, secret_key: str | None) -> None:
    """Set the address and key that a worker process was given."""
    global _worker
    _worker = (api_url, secret_key)


def address() -> tuple[str, str]:
    """Give API URL and key. Raises ContextError that says how to set what is missing."""
    url = _configured.api_url or _worker[0] or os.environ.get("TRIGGER_API_URL")
    key = (
        _configured.secret_key
        or _worker[1]
        or os.environ.get("TRIGGER_SECRET_KEY")
        or os.environ.get("TRIGGER_ACCESS_TOKEN")
    )
    missing = [name for name, value in (("TRIGGER_API_URL", url), ("TRIGGER_SECRET_KEY", key)) if not value]
    if missing:
        raise errors.ContextError(
            f"{' and '.join(missing)} not set, so there is no server to call. `trigger dev` writes both to "
            ".trigger/dev.env: load that file (`set -a; . .trigger/dev.env; set +a`), or call "
            "triggerdev.configure(api_url=..., secret_key=...)."
        )
    assert url and key
    return url.rstrip("/"), key


async def request(
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Answer:
    """Send a request and give its answer, repeating it where that can help.

    Repeated on 408, 429, 5xx and connection errors, unless the answer's x-should-retry says otherwise.
    Raises ApiError for other answers, ConnectionFailedError if there is none. `timeout` is in seconds.
    """
    url, key = address()
    body = _json.dump_bytes(json) if json is not None else content
    sent = {
        "authorization": f"Bearer {key}",
        "x-trigger-api-version": API_VERSION,
        "x-trigger-source": "sdk",
        "x-trigger-request-idempotency-key": str(uuid.uuid4()),
        "user-agent": f"triggerdev-python/{__version__}",
        **({"content-type": "application/json"} if json is not None else {}),
        **trace_headers(),
        **(headers or {}),
    }
    response = await _repeated(method, url + path, params, body, sent, timeout or _configured.timeout_s)
    return Answer(_parse(response), {name.lower(): value for name, value in response.headers.items()})


async def transfer(
    method: str, url: str, content: bytes | None = None, content_type: str | None = None
) -> tuple[bytes, str]:
    """Upload to or download from a signed URL, without a key; gives the answer's bytes and their type.

    Repeated and raises as `request` does.
    """
    headers = {"user-agent": f"triggerdev-python/{__version__}"}
    if content_type is not None:
        headers["content-type"] = content_type
    response = await _repeated(method, url, None, content, headers, _TRANSFER_S)
    return response.content, response.headers.get("content-type", "").partition(";")[0]


async def _repeated(
    method: str,
    url: str,
    params: Mapping[str, Any] | None,
    body: bytes | None,
    headers: dict[str, str],
    timeout: float,
) -> "httpx.Response":
    import httpx

    tries = max(1, _configured.max_tries)
    for attempt in range(1, tries + 1):
        try:
            response = await _send(method, url, params, body, headers, timeout)
        except httpx.TransportError as error:
            if attempt == tries:
                raise _unreachable(_origin(url), error) from error
            await pause(attempt)
            continue
        if response.is_success:
            return response
        if attempt == tries or not _worth_repeating(response):
            raise _api_error(response)
        await pause(attempt, _until_reset(response))
    raise AssertionError("the last try returns or raises")


def trace_headers() -> dict[str, str]:
    """Give the headers that let a run continue the current trace; none where OpenTelemetry is not in use."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    found: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(found)
    return found


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


async def _send(
    method: str,
    url: str,
    params: Mapping[str, Any] | None,
    content: bytes | None,
    headers: dict[str, str],
    timeout: float,
) -> "httpx.Response":
    loop = running_loop()
    options: dict[str, Any] = {"params": params, "content": content, "headers": headers, "timeout": timeout}
    if loop is None:
        return _clients.blocking().request(method, url, **options)
    client = await _clients.for_loop(loop)
    return await client.request(method, url, **options)


async def pause(attempt: int, at_least: float = 0.0) -> None:
    """Wait before the next try: the delay grows by 1.6, up to 30 s."""
    seconds = min(max(_configured.retry_delay_s * _FACTOR ** (attempt - 1), at_least), _MAX_PAUSE_S)
    await sleep(seconds)


async def sleep(seconds: float) -> None:
    """Sleep without blocking a loop where one runs."""
    if running_loop() is None:
        import time

        time.sleep(seconds)  # noqa: ASYNC251 - no loop runs here
        return
    import asyncio

    await asyncio.sleep(seconds)


def _parse(response: "httpx.Response") -> Any:
    if not response.content:
        return None
    try:
        return _json.loads(response.content)
    except ValueError:
        raise errors.ApiError(
            response.status_code,
            f"{response.url} answered with something that is no JSON: {response.text[:200]!r}. "
            "Is TRIGGER_API_URL the address of a Trigger server?",
        ) from None


def _worth_repeating(response: "httpx.Response") -> bool:
    wish = response.headers.get("x-should-retry")
    if wish is not None:
        return bool(wish == "true")
    return response.status_code in RETRIED or response.status_code >= 500


def _until_reset(response: "httpx.Response") -> float:
    import time

    reset = response.headers.get("x-ratelimit-reset", "")
    if response.status_code != 429 or not reset.isdigit():
        return 0.0
    return max(0.0, int(reset) / 1000 - time.time())


def _api_error(response: "httpx.Response") -> errors.ApiError:
    status = response.status_code
    try:
        body = _json.loads(response.content)
    except ValueError:
        body = None
    problem = body.get("error") if isinstance(body, dict) else None
    if isinstance(problem, dict):
        problem = problem.get("message")
    return refusal(status, str(problem or response.text[:200] or response.reason_phrase), body)


def refusal(status: int, message: str, body: Any) -> errors.ApiError:
    """Make the error of an answer that is no success."""
    details = body.get("details") if isinstance(body, dict) else None
    if isinstance(details, list) and details:
        message = f"{message}: {'; '.join(map(str, details[:5]))}"
    if status == 401:
        message += (
            " (TRIGGER_SECRET_KEY is wrong for this server; `trigger dev` writes its key to .trigger/dev.env)"
        )
    return errors.api_error_kind(status)(status, message, body)


def _unreachable(url: str, error: Exception) -> errors.ConnectionFailedError:
    reason = str(error) or type(error).__name__
    return errors.ConnectionFailedError(
        f"No answer from {url}: {reason}. Start the server (`trigger dev`), "
        "or set TRIGGER_API_URL to where it is."
    )


class _Blocking:
    """A blocking client that closes when its thread ends."""

    def __init__(self, client: "httpx.Client") -> None:
        self.client = client
        self.pid = os.getpid()

    def close(self) -> None:
        if self.pid == os.getpid() and not sys.is_finalizing():
            self.client.close()

    def __del__(self) -> None:
        self.close()


class _Clients:
    """The pooled clients of this process."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._loops: weakref.WeakKeyDictionary[Any, tuple[Any, httpx.AsyncClient]] = (
            weakref.WeakKeyDictionary()
        )
        atexit.register(self.forget)

    def blocking(self) -> "httpx.Client":
        import httpx

        holder: _Blocking | None = getattr(self._local, "holder", None)
        if holder is None or holder.pid != os.getpid():
            holder = self._local.holder = _Blocking(httpx.Client(transport=_configured.transport))
        return holder.client

    async def for_loop(self, loop: Any) -> "httpx.AsyncClient":
        import httpx

        known = self._loops.get(loop)
        if known is not None:
            return known[1]
        client = httpx.AsyncClient(transport=_configured.transport)
        closer = _close_with_loop(client)
        await anext(closer)
        self._loops[loop] = (closer, client)
        return client

    def forget(self) -> None:
        """Close this thread's client; clients of loops close with their loops."""
        holder: _Blocking | None = getattr(self._local, "holder", None)
        if holder is not None:
            holder.close()
            del self._local.holder
        self._loops.clear()


async def _close_with_loop(client: "httpx.AsyncClient") -> AsyncGenerator[None, None]:
    """Hold a client open until the loop shuts its async generators down, as asyncio.run does at its end."""
    try:
        yield
    finally:
        await client.aclose()


_clients = _Clients()
