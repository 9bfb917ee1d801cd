"""The outermost layer: which hosts are served, browsers' cross-origin rules, and what nobody has foreseen."""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triggerdev import _json
from triggerdev.server import problems

_log = logging.getLogger("triggerdev.server")

_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
]
# With credentials in an Authorization header, `*` alone does not cover that header.
_PREFLIGHT = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD"),
    (b"access-control-max-age", b"600"),
]
_FAILED = "Something went wrong, please try again."


class Gate:
    """ASGI middleware around everything.

    A request whose Host header is neither an IP address nor an allowed name is refused, because a page of a
    stranger could point its own name at this machine (DNS rebinding). While the server stops, connections are
    closed with their next answer, and requests that it gives up are told to try again.
    """

    def __init__(self, app: ASGIApp, hosts: set[str] | None, is_stopping: Callable[[], bool]) -> None:
        self._app = app
        self._hosts = hosts
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._is_stopping():
            send = _adding(send, [(b"connection", b"close")])
        host, origin, asked_headers = _interesting_headers(scope)
        if not self._is_allowed(host):
            await _refuse(send, 403, f"Host {host.decode('latin-1')!r} is not served here")
            return
        if origin and scope["method"] == "OPTIONS":
            await _preflight(send, asked_headers)
            return
        await self._serve(scope, receive, _adding(send, _CORS) if origin else send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if started or not self._is_stopping():
                raise
            await _refuse(send, 503, problems.STOPPING, problems.TRY_AGAIN)
        except Exception:
            _log.exception("%s %s failed", scope["method"], route_of(scope))
            if not started:
                await _refuse(send, 500, _FAILED)

    def _is_allowed(self, host: bytes) -> bool:
        if self._hosts is None:
            return True
        name = host_name(host.decode("latin-1"))
        return name in self._hosts or _is_address(name)


def route_of(scope: Scope) -> str:
    """Name the route of a request for a log; not its path, which can hold a secret (callback URLs)."""
    return getattr(scope.get("route"), "path", "(no route)")


def host_name(host: str) -> str:
    """Take the name out of a Host header: without port, brackets, final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _interesting_headers(scope: Scope) -> tuple[bytes, bytes, bytes]:
    host = origin = asked = b""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"access-control-request-headers":
            asked = value
    return host, origin, asked


def _adding(send: Send, headers: Sequence[tuple[bytes, bytes]]) -> Send:
    """Add headers to the answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return sending


async def _preflight(send: Send, asked_headers: bytes) -> None:
    headers = [
        *_PREFLIGHT,
        (b"access-control-allow-headers", asked_headers or b"*"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(
    send: Send, status: int, message: str, more: Mapping[str, str] = MappingProxyType({})
) -> None:
    body = _json.dump_bytes({"error": message})
    named = {"content-type": "application/json", "content-length": str(len(body)), **more}
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
