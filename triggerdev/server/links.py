"""URLs to upload to and to download from: of the bucket itself, or signed ones of this server."""

import functools
from collections.abc import Callable
from urllib.parse import quote

from starlette.requests import Request

from triggerdev.server import context, problems
from triggerdev.server.packets import is_body

LIFETIME_S = 3600


def upload(request: Request, name: str) -> str:
    """Make a URL to PUT an upload to."""
    api = context.of(request)
    direct = api.packets.objects.presign("PUT", api.packets.key(name), LIFETIME_S)
    return direct or _signed_url(request, "PUT", name)


def download(request: Request, name: str) -> str:
    """Make a URL to GET an upload or a stored body from; it needs no key."""
    packets = context.of(request).packets
    key = name if is_body(name) else packets.key(name)
    return packets.objects.presign("GET", key, LIFETIME_S) or _signed_url(request, "GET", name)


def of_request(request: Request) -> Callable[[str], str]:
    """Give what makes URLs to download from in the answer to a request."""
    return functools.partial(download, request)


def _signed_url(request: Request, method: str, name: str) -> str:
    api = context.of(request)
    expires = api.now_ms() + LIFETIME_S * 1000
    signature = api.seal(_signed(method, name, expires))
    return f"{api.public_url(request)}/packets/{quote(name, safe='')}?expires={expires}&signature={signature}"


def check(request: Request, method: str, name: str, expires: int, signature: str) -> None:
    """Refuse with 403 a URL of this server that it has not signed, or that has expired."""
    api = context.of(request)
    if not api.is_seal(signature, _signed(method, name, expires)):
        raise problems.forbidden("the signature of this URL does not match")
    if expires < api.now_ms():
        raise problems.forbidden("this URL has expired")


def _signed(method: str, name: str, expires: int) -> str:
    return f"packet\n{method}\n{name}\n{expires}"
