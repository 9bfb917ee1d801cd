"""One try of `retry.fetch`: an HTTP request that is over, answered or not, by a deadline."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx

from triggerdev.errors import UsageError
from triggerdev.sdk.calls import running_loop

Outcome = tuple[httpx.Response | None, Exception | None]


class Requester:
    """A client for the tries of one fetch: of the running loop, or a blocking one where there is none."""

    def __init__(self, timeout_in_ms: float | None) -> None:
        self._ms = timeout_in_ms
        self._seconds = None if timeout_in_ms is None else timeout_in_ms / 1000
        options: dict[str, Any] = {"follow_redirects": True}
        if self._seconds is not None:
            options["timeout"] = self._seconds
        self._blocking = httpx.Client(**options) if running_loop() is None else None
        self._client = httpx.AsyncClient(**options) if self._blocking is None else None

    async def send(self, method: str, url: str, options: dict[str, Any]) -> Outcome:
        """Give the response, or the timeout or connection error. Raises UsageError for a bad URL."""
        try:
            if self._client is None:
                return self._send_blocking(method, url, dict(options)), None
            async with asyncio.timeout(self._seconds):
                return await self._client.request(method, url, **options), None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UsageError(f"retry.fetch cannot fetch {url!r:.200}: {error}") from None
        except TimeoutError:
            return None, httpx.ReadTimeout(f"no complete answer within {self._ms:g} ms")
        except httpx.TransportError as error:
            return None, error

    def _send_blocking(self, method: str, url: str, options: dict[str, Any]) -> httpx.Response:
        """Send without a loop: each step has the whole time, and the body is given up at the deadline."""
        assert self._blocking is not None
        deadline = None if self._seconds is None else time.monotonic() + self._seconds
        of_send = {name: options.pop(name) for name in ("auth", "follow_redirects") if name in options}
        request = self._blocking.build_request(method, url, **options)
        response = self._blocking.send(request, stream=True, **of_send)
        try:
            if deadline is not None and isinstance(response.stream, httpx.SyncByteStream):
                response.stream = _Until(response.stream, deadline)
            response.read()
        finally:
            response.close()
        return response

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
        elif self._blocking is not None:
            self._blocking.close()


class _Until(httpx.SyncByteStream):
    """A body that comes in time, or raises TimeoutError."""

    def __init__(self, stream: httpx.SyncByteStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if time.monotonic() > self._deadline:
                raise TimeoutError
            yield part

    def close(self) -> None:
        self._stream.close()
