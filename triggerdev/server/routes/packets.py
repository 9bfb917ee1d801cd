"""Large payloads and outputs: clients ask for a URL, and upload or download there."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.engine.objects.protocol import Body
from triggerdev.protocol import STORED
from triggerdev.server import bodies, context, documenting, links, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.packets import MAX_PACKET_BYTES
from triggerdev.server.routes.runs import READ_GRANTS, readable_run
from triggerdev.server.schemas import packets as schemas

router = APIRouter(tags=["payloads"])
_Key = Annotated[Caller, Depends(Allow())]
_Reads = Annotated[Caller, Depends(Allow(*READ_GRANTS))]
_MAX_NAME = 1024


@router.put(
    "/api/v2/packets/{name:path}",
    summary="A URL to upload a payload to",
    **documenting.documented(schemas.UploadAnswer, errors=(400, 401, 403)),
)
async def upload_url(request: Request, name: str, caller: _Key) -> Response:
    """PUT it there; then trigger with `storagePath` as payload and payloadType `application/store`."""
    _check(name)
    return bodies.answer({"presignedUrl": links.upload(request, name), "storagePath": name})


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
    return bodies.answer({"presignedUrl": links.download(request, name)})


@router.put("/packets/{name:path}", include_in_schema=False)
async def upload(
    request: Request, name: str, expires: Annotated[int, Query()] = 0, signature: Annotated[str, Query()] = ""
) -> Response:
    """Store what a signed URL brings."""
    links.check(request, "PUT", name, expires, signature)
    body = await bodies.read(request, MAX_PACKET_BYTES, "payload")
    content_type = request.headers.get("content-type", "application/json")
    await context.of(request).packets.put(name, Body(content_type, body))
    return bodies.answer({})


@router.get("/packets/{name:path}", include_in_schema=False)
async def download(
    request: Request, name: str, expires: Annotated[int, Query()] = 0, signature: Annotated[str, Query()] = ""
) -> Response:
    """Give back what was stored, never as something that a browser would execute."""
    links.check(request, "GET", name, expires, signature)
    packet = await context.of(request).packets.get(name)
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
    return Response(packet.data, headers={**headers, "content-type": media})


@router.get(
    "/api/v1/runs/{run_id}/packets/{part}",
    summary="A URL to download a run's large payload or output from",
    **documenting.documented(schemas.DownloadAnswer),
)
async def run_packet(
    request: Request, run_id: str, part: Literal["payload", "output"], caller: _Reads
) -> Response:
    """404 where it is not large: then it is in the run itself."""
    run = (await readable_run(context.of(request), caller, run_id)).run
    text, kind = (run.payload, run.payload_type) if part == "payload" else (run.output, run.output_type)
    if text is None or kind != STORED:
        raise problems.not_found(f"The run has no stored {part}")
    return bodies.answer({"presignedUrl": links.download(request, text)})


def _check(name: str) -> None:
    if not name or len(name) > _MAX_NAME:
        raise problems.bad_request(f"name: must have 1 to {_MAX_NAME} characters")
