"""Payloads of 128 KB and more: clients ask for a URL, upload, and trigger with the name."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.server import bodies, context, documenting, problems, schemas
from triggerdev.server.access import Allow, Caller
from triggerdev.server.packets import MAX_PACKET_BYTES, Packet

router = APIRouter(tags=["payloads"])
_Key = Annotated[Caller, Depends(Allow())]
_LIFETIME_MS = 3_600_000
_MAX_NAME = 1024


@router.put(
    "/api/v2/packets/{name:path}",
    summary="A URL to upload a payload to",
    **documenting.documented(schemas.UploadAnswer, errors=(400, 401, 403)),
)
async def upload_url(request: Request, name: str, caller: _Key) -> Response:
    """PUT it there; then trigger with `storagePath` as payload and payloadType `application/store`."""
    _check(name)
    return bodies.answer({"presignedUrl": _url(request, "PUT", name), "storagePath": name})


@router.get(
    "/api/v1/packets/{name:path}",
    summary="A URL to download a payload from",
    **documenting.documented(schemas.DownloadAnswer),
)
async def download_url(request: Request, name: str, caller: _Key) -> Response:
    """The URL needs no key and holds for an hour."""
    _check(name)
    if await context.of(request).packets.get(name) is None:
        raise problems.not_found("Packet not found")
    return bodies.answer({"presignedUrl": _url(request, "GET", name)})


@router.put("/packets/{name:path}", include_in_schema=False)
async def upload(
    request: Request, name: str, expires: Annotated[int, Query()] = 0, signature: Annotated[str, Query()] = ""
) -> Response:
    """Store what a signed URL brings."""
    api = context.of(request)
    _check_signature(api, "PUT", name, expires, signature)
    body = await bodies.read(request, MAX_PACKET_BYTES, "payload")
    content_type = request.headers.get("content-type", "application/json")
    await api.packets.put(name, Packet(content_type, body))
    return bodies.answer({})


@router.get("/packets/{name:path}", include_in_schema=False)
async def download(
    request: Request, name: str, expires: Annotated[int, Query()] = 0, signature: Annotated[str, Query()] = ""
) -> Response:
    """Give back what was stored, never as something that a browser would execute."""
    api = context.of(request)
    _check_signature(api, "GET", name, expires, signature)
    packet = await api.packets.get(name)
    if packet is None:
        raise problems.not_found("Packet not found")
    headers = {
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox",
        "cache-control": "no-store",
    }
    known = packet.content_type.partition(";")[0] in (
        "application/json",
        "application/super+json",
        "text/plain",
    )
    media = packet.content_type if known else "application/octet-stream"
    return Response(packet.body, headers={**headers, "content-type": media})


def _check(name: str) -> None:
    if not name or len(name) > _MAX_NAME:
        raise problems.bad_request(f"name: must have 1 to {_MAX_NAME} characters")


def _url(request: Request, method: str, name: str) -> str:
    api = context.of(request)
    expires = api.now_ms() + _LIFETIME_MS
    signature = api.seal(_signed(method, name, expires))
    return f"{api.public_url(request)}/packets/{quote(name, safe='')}?expires={expires}&signature={signature}"


def _signed(method: str, name: str, expires: int) -> str:
    return f"packet\n{method}\n{name}\n{expires}"


def _check_signature(api: context.Api, method: str, name: str, expires: int, signature: str) -> None:
    if not api.is_seal(signature, _signed(method, name, expires)):
        raise problems.forbidden("the signature of this URL does not match")
    if expires < api.now_ms():
        raise problems.forbidden("this URL has expired")
