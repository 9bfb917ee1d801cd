"""Waitpoint tokens: made here or by runs, completed by somebody outside."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from triggerdev import _durations, _json
from triggerdev._crash import crash_point
from triggerdev.server import bodies, context, documenting, listing, present, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import common
from triggerdev.server.schemas import waitpoints as schemas
from triggerdev.server.tokens import DAY_S

router = APIRouter(tags=["waitpoint tokens"])
_Reads = Annotated[Caller, Depends(Allow("read:waitpoints"))]
_Writes = Annotated[Caller, Depends(Allow("write:waitpoints"))]
_BASE = "/api/v1/waitpoints/tokens"
_CREATE_BYTES = 10_240
_OUTPUT_BYTES = 10_485_760


@router.post(
    _BASE,
    summary="Create a token",
    **documenting.documented(
        schemas.TokenCreatedAnswer, body=schemas.TokenBody, errors=(400, 401, 403, 413, 422)
    ),
)
async def create(request: Request, caller: _Writes) -> Response:
    """The answer's `x-trigger-jwt` header is a public access token that may complete it, for a day."""
    caller.require_each("waitpoints", [])
    api = context.of(request)
    body = await bodies.read_model(request, schemas.TokenBody, _CREATE_BYTES, optional=True)
    tags = [body.tags] if isinstance(body.tags, str) else body.tags
    ttl_ms = (
        None if body.idempotency_key_ttl is None else _durations.parse_duration_ms(body.idempotency_key_ttl)
    )
    if body.idempotency_key_ttl is not None and ttl_ms is None:
        raise problems.unprocessable(
            f'idempotencyKeyTTL: {body.idempotency_key_ttl!r} is no duration like "24h"'
        )
    made = await api.repeats.once(
        request,
        lambda key: api.engine.tokens.create(
            timeout=body.timeout,
            idempotency_key=body.idempotency_key,
            idempotency_ttl_ms=ttl_ms,
            tags=tags,
            request=key,
        ),
    )
    shown = {"id": made.id, "isCached": made.is_cached, "url": _callback_url(request, api, made.id)}
    return bodies.answer(
        shown, headers={"x-trigger-jwt": api.signer.sign((f"write:waitpoints:{made.id}",), DAY_S)}
    )


def _callback_url(request: Request, api: context.Api, token_id: str) -> str:
    return f"{api.public_url(request)}{_BASE}/{token_id}/callback/{api.seal(_internal_id(token_id))}"


def _internal_id(token_id: str) -> str:
    return token_id.removeprefix("waitpoint_")


@router.get(_BASE, summary="List tokens", **documenting.documented(schemas.TokenPage, errors=(400, 401, 403)))
async def list_tokens(
    request: Request, query: Annotated[listing.TokenQuery, Query()], caller: _Reads
) -> Response:
    """Newest first."""
    caller.require_each("waitpoints", [])
    api = context.of(request)
    where = query.filter(api.now_ms())
    page = await api.engine.tokens.list(where, size=query.size, after=query.after, before=query.before)
    data = [present.token(found, _callback_url(request, api, found.id)) for found in page.items]
    return bodies.answer({"data": data, "pagination": listing.cursors(page)})


@router.get(_BASE + "/{token_id}", summary="Retrieve a token", **documenting.documented(schemas.TokenAnswer))
async def retrieve(request: Request, token_id: str, caller: _Reads) -> Response:
    """With its output, once it is completed."""
    caller.require(waitpoints=[token_id])
    api = context.of(request)
    found = await api.engine.tokens.retrieve(token_id)
    return bodies.answer(present.token(found, _callback_url(request, api, found.id), with_output=True))


@router.post(
    _BASE + "/{token_id}/complete",
    summary="Complete a token",
    **documenting.documented(
        common.SuccessAnswer, body=schemas.CompleteBody, errors=(400, 401, 403, 404, 413)
    ),
)
async def complete(request: Request, token_id: str, caller: _Writes) -> Response:
    """The runs that wait for it go on with `data`. A token that is complete already stays as it is."""
    caller.require(waitpoints=[token_id])
    body = await bodies.read_object(request, _OUTPUT_BYTES, optional=True)
    output = _json.dumps(body["data"]) if body.get("data") is not None else None
    await context.of(request).engine.tokens.complete(token_id, output, "application/json")
    crash_point("server.token_stored")
    return bodies.answer({"success": True})


@router.post(
    _BASE + "/{token_id}/callback/{seal}",
    summary="Complete a token by its URL",
    **documenting.documented(common.SuccessAnswer, errors=(401, 404, 413)),
)
async def callback(request: Request, token_id: str, seal: str) -> Response:
    """For webhooks: no key, the URL is the secret. The JSON body is the output, `{}` if it is none."""
    api = context.of(request)
    if not api.is_seal(seal, _internal_id(token_id)):
        raise problems.unauthorized("Invalid URL, hash doesn't match")
    if "content-length" not in request.headers:
        raise problems.Problem(411, "Content-Length header is required")
    raw = await bodies.read(request, _OUTPUT_BYTES)
    await api.engine.tokens.complete(token_id, _callback_output(raw), "application/json")
    return bodies.answer({"success": True})


def _callback_output(raw: bytes) -> str:
    try:
        value: Any = bodies.parse_json(raw)
    except (ValueError, json.JSONDecodeError):
        value = {}
    return _json.dumps(value)
