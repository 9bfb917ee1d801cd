"""Triggering one run: the hot path."""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev._traces import TraceContext
from triggerdev.engine.model import TriggerItem, TriggerResult
from triggerdev.server import bodies, callers, context, documenting, payloads, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import triggers as schemas

router = APIRouter(tags=["tasks"])
_Caller = Annotated[Caller, Depends(Allow("trigger:tasks", "write:tasks"))]
MAX_TRIGGERS = 1000
_log = logging.getLogger("triggerdev.server")
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
    trace = callers.trace_of(request)
    made = await api.repeats.once(request, lambda key: _trigger(api, caller, item, key, trace))
    crash_point("server.trigger_stored")
    token = api.signer.sign(_scopes(made.id))
    return bodies.answer({"id": made.id, "isCached": made.is_cached}, headers={"x-trigger-jwt": token})


@router.post(
    "/api/v1/triggers",
    summary="Trigger many runs, each by itself",
    **documenting.documented(schemas.TriggersAnswer, body=schemas.TriggersBody, errors=(400, 401, 403, 413)),
)
async def trigger_many(request: Request, caller: _Caller) -> Response:
    """An extension: up to 1000 triggers of any tasks that have nothing to do with each other.

    Each is answered as `POST /api/v1/tasks/{id}/trigger` would answer it, in order; one that is refused
    concerns no other.
    """
    body = await bodies.read_object(request, bodies.TRIGGER_BODY_BYTES)
    entries = body.get("items")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_TRIGGERS:
        raise problems.bad_request(f"items: must be a list of 1 to {MAX_TRIGGERS} triggers")
    api = context.of(request)
    results = await asyncio.gather(*(_trigger_one(api, caller, entry) for entry in entries))
    crash_point("server.trigger_stored")
    return bodies.answer({"results": results})


async def _trigger_one(api: context.Api, caller: Caller, entry: Any) -> dict[str, Any]:
    try:
        task, key = _parts(entry)
        caller.require(tasks=[task])
        item = await payloads.trigger_item(entry, task, packets=api.packets if caller.has_key else None)
        path = f"/api/v1/tasks/{task}/trigger"
        trace = callers.trace_in(entry)
        made = await api.repeats.once_by_key(path, key, lambda name: _trigger(api, caller, item, name, trace))
    except (HTTPException, errors.TriggerError) as error:
        problem = problems.of_engine(error)
        if problem.status_code >= 500:
            _log.error("a trigger among others: %s", error)
        should_retry = (problem.headers or {}).get("x-should-retry") != "false"
        return {"status": problem.status_code, "error": problem.detail, "shouldRetry": should_retry}
    return {"id": made.id, "isCached": made.is_cached, "token": api.signer.sign(_scopes(made.id))}


def _parts(entry: Any) -> tuple[str, str | None]:
    task = entry.get("task") if isinstance(entry, dict) else None
    if not isinstance(task, str):
        raise problems.bad_request("must be an object that names its task")
    key = entry.get("key")
    return task, key if isinstance(key, str) else None


def _scopes(run_id: str) -> tuple[str, ...]:
    return f"read:runs:{run_id}", f"write:inputStreams:{run_id}"


async def _trigger(
    api: context.Api, caller: Caller, item: TriggerItem, key: str | None, trace: TraceContext | None
) -> TriggerResult:
    if caller.claims is None:
        return await api.engine.trigger(item, request=key, caller=trace)
    api.used_tokens.use(caller.claims, item.task)
    try:
        return await api.engine.trigger(item, request=key, caller=trace)
    except Exception:
        api.used_tokens.forget(caller.claims)
        raise
