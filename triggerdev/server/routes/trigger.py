"""Triggering one run: the hot path."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from triggerdev._crash import crash_point
from triggerdev.engine.model import TriggerItem, TriggerResult
from triggerdev.server import bodies, context, documenting, payloads, schemas
from triggerdev.server.access import Allow, Caller

router = APIRouter(tags=["tasks"])
_Caller = Annotated[Caller, Depends(Allow("trigger:tasks", "write:tasks"))]
_HEADER_OPTIONS = (("idempotency-key", "idempotencyKey"), ("idempotency-key-ttl", "idempotencyKeyTTL"))


@router.post(
    "/api/v1/tasks/{task_id:path}/trigger",
    summary="Trigger a run",
    **documenting.documented(
        schemas.TriggerAnswer, body=schemas.TriggerBody, errors=(400, 401, 403, 404, 413, 422, 507)
    ),
)
async def trigger(request: Request, task_id: str, caller: _Caller) -> Response:
    """The answer's `x-trigger-jwt` header is a public access token that may read the run."""
    caller.require(tasks=[task_id])
    api = context.of(request)
    body = await bodies.read_object(request, bodies.TRIGGER_BODY_BYTES)
    item = await payloads.trigger_item(body, task_id, packets=api.packets if caller.has_key else None)
    for header, option in _HEADER_OPTIONS:
        value = request.headers.get(header)
        if value:
            item.options.setdefault(option, value)
    made = await api.repeats.once(request, lambda key: _trigger(api, caller, item, key))
    crash_point("server.trigger_stored")
    token = api.signer.sign((f"read:runs:{made.id}", f"write:inputStreams:{made.id}"))
    return bodies.answer({"id": made.id, "isCached": made.is_cached}, headers={"x-trigger-jwt": token})


async def _trigger(api: context.Api, caller: Caller, item: TriggerItem, key: str | None) -> TriggerResult:
    if caller.claims is None:
        return await api.engine.trigger(item, request=key)
    api.used_tokens.use(caller.claims, item.task)
    try:
        return await api.engine.trigger(item, request=key)
    except Exception:
        api.used_tokens.forget(caller.claims)
        raise
