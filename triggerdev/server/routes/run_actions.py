"""Changing runs: cancel, replay, reschedule, tags, metadata; freeing their idempotency keys."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from triggerdev import _json, errors
from triggerdev._crash import crash_point
from triggerdev.engine.model import RunDetail
from triggerdev.server import bodies, context, documenting, links, payloads, present, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import common
from triggerdev.server.schemas import runs as schemas

router = APIRouter(tags=["runs"])
_Writes = Annotated[Caller, Depends(Allow("write:runs", "write:tasks"))]
_ERRORS = (400, 401, 403, 404, 413, 422)


async def _writable_run(api: context.Api, caller: Caller, run_id: str) -> RunDetail:
    detail = await api.engine.retrieve_run(run_id)
    caller.require(runs=[detail.run.id], tasks=[detail.run.task])
    return detail


@router.post(
    "/api/v2/runs/{run_id}/cancel", summary="Cancel a run", **documenting.documented(common.IdAnswer)
)
async def cancel(request: Request, run_id: str, caller: _Writes) -> Response:
    """Its descendants are cancelled too. A final run stays as it is."""
    api = context.of(request)
    await _writable_run(api, caller, run_id)
    await api.engine.cancel_run(run_id)
    crash_point("server.cancel_stored")
    return bodies.answer({"id": run_id})


@router.post(
    "/api/v1/runs/{run_id}/replay",
    summary="Run it again",
    **documenting.documented(common.IdAnswer, body=schemas.ReplayBody, errors=_ERRORS),
)
async def replay(request: Request, run_id: str, caller: _Writes) -> Response:
    """Make a new run of the same payload; the body may be empty, what it has replaces the original's."""
    api = context.of(request)
    raw = await bodies.read_model(request, schemas.ReplayBody, bodies.TRIGGER_BODY_BYTES, optional=True)
    overrides = payloads.check_options(raw.model_dump(by_alias=True, exclude_unset=True))
    declared = overrides.pop("payloadType", None)
    if "payload" in overrides:
        overrides["payload"], overrides["payloadType"] = payloads.inline_payload(overrides, declared)
    await _writable_run(api, caller, run_id)
    made = await api.repeats.once(request, lambda key: api.engine.replay_run(run_id, overrides, request=key))
    token = api.signer.sign((f"read:runs:{made.id}", f"write:inputStreams:{made.id}"))
    return bodies.answer({"id": made.id}, headers={"x-trigger-jwt": token})


@router.post(
    "/api/v1/runs/{run_id}/reschedule",
    summary="Change the delay of a delayed run",
    **documenting.documented(schemas.RunAnswer, body=schemas.RescheduleBody, errors=_ERRORS),
)
async def reschedule(request: Request, run_id: str, caller: _Writes) -> Response:
    """A bad delay is 400; a run that is not delayed any more is 422."""
    api = context.of(request)
    body = await bodies.read_model(request, schemas.RescheduleBody)
    await _writable_run(api, caller, run_id)
    try:
        detail = await api.engine.reschedule_run(run_id, body.delay)
    except errors.InvalidOptionError as error:
        raise problems.bad_request(str(error)) from None
    return bodies.answer(present.run_detail(detail, links.of_request(request)))


@router.post(
    "/api/v1/runs/{run_id}/tags",
    summary="Add tags to a run",
    **documenting.documented(common.MessageAnswer, body=schemas.TagsBody, errors=_ERRORS),
)
async def add_tags(request: Request, run_id: str, caller: _Writes) -> Response:
    """Tags that it has already are left; a run has 10 at most."""
    api = context.of(request)
    body = await bodies.read_model(request, schemas.TagsBody)
    tags = [body.tags] if isinstance(body.tags, str) else body.tags
    await _writable_run(api, caller, run_id)
    count = await api.engine.add_tags(run_id, tags)
    return bodies.answer({"message": f"Successfully set {count} new tags."})


@router.put(
    "/api/v1/runs/{run_id}/metadata",
    summary="Replace or edit a run's metadata",
    **documenting.documented(schemas.MetadataAnswer, body=schemas.MetadataBody, errors=_ERRORS),
)
async def update_metadata(request: Request, run_id: str, caller: _Writes) -> Response:
    """`metadata` replaces it; operations edit that of the run, its parent and its root. At most 256 KB."""
    api = context.of(request)
    body = await bodies.read_model(request, schemas.MetadataBody, 2 * bodies.METADATA_BYTES)
    if body.metadata is not None:
        size = len(_json.dump_bytes(body.metadata))
        if size > bodies.METADATA_BYTES:
            raise problems.too_large("metadata", size, bodies.METADATA_BYTES)
    await _writable_run(api, caller, run_id)
    changes = body.model_dump(by_alias=True, exclude_none=True)
    return bodies.answer({"metadata": await api.engine.update_metadata(run_id, changes)})


@router.post(
    "/api/v1/idempotencyKeys/{key:path}/reset",
    summary="Free an idempotency key",
    **documenting.documented(common.IdAnswer, body=schemas.ResetKeyBody, errors=_ERRORS),
)
async def reset_key(
    request: Request, key: str, caller: Annotated[Caller, Depends(Allow("write:tasks"))]
) -> Response:
    """The next trigger of this task with the key makes a run. Clients send the key as triggers do: hashed."""
    body = await bodies.read_model(request, schemas.ResetKeyBody)
    caller.require(tasks=[body.task_identifier])
    await context.of(request).engine.reset_key(body.task_identifier, key)
    return bodies.answer({"id": key})
