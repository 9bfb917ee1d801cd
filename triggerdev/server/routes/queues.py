"""Queues: their load and limits, pausing them, overriding their limits.

A queue stands in the path by its id, its name, or the id of the task that it belongs to; `type` says which. A
slash in it may be written as it is, encoded, or encoded twice, as the official client does.
"""

from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.engine.commands import queues
from triggerdev.engine.model import QueueDetail
from triggerdev.server import bodies, context, documenting, listing, present, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import queues as schemas

router = APIRouter(tags=["queues"])
_Reads = Annotated[Caller, Depends(Allow("read:queues"))]
_Writes = Annotated[Caller, Depends(Allow("write:queues"))]
_BASE = "/api/v1/queues"
_ONE = _BASE + "/{queue:path}"
_ERRORS = (400, 401, 403, 404, 422)


@router.get(_BASE, summary="List queues", **documenting.documented(schemas.QueuePage, errors=(400, 401, 403)))
async def list_queues(
    request: Request, query: Annotated[listing.OffsetPaging, Query()], caller: _Reads
) -> Response:
    """By name, in pages by number. `environment` (an extension) is what all queues have together."""
    caller.require_each("queues", [])
    api = context.of(request)
    page = await api.engine.queues.list(page=query.page, per_page=query.per_page)
    numbers = {
        "currentPage": query.page,
        "totalPages": -(-page.count // query.per_page),
        "count": page.count,
    }
    environment = {**present.load(page.total), "concurrencyLimit": page.limit}
    data = [present.queue(item) for item in page.items]
    return bodies.answer({"data": data, "pagination": numbers, "environment": environment})


@router.get(
    _ONE, summary="Retrieve a queue", **documenting.documented(schemas.QueueAnswer, errors=_ERRORS[:-1])
)
async def retrieve(
    request: Request, queue: str, caller: _Reads, type: Literal["id", "task", "custom"] = "id"
) -> Response:
    """With the numbers of its executing and queued runs."""
    name = _name(queue, type)
    found = await context.of(request).engine.queues.retrieve(name)
    caller.require(queues=[found.queue.name])
    return _answer(found)


@router.post(
    _ONE + "/pause",
    summary="Pause or resume a queue",
    **documenting.documented(schemas.QueueAnswer, body=schemas.QueuePauseBody, errors=_ERRORS),
)
async def pause(request: Request, queue: str, caller: _Writes) -> Response:
    """Runs of a paused queue stay queued; those that execute go on."""
    body = await bodies.read_model(request, schemas.QueuePauseBody)
    name = await _writable(request, caller, queue, body.type)
    return _answer(await context.of(request).engine.queues.pause(name, paused=body.action == "pause"))


@router.post(
    _ONE + "/concurrency/override",
    summary="Override a queue's limit",
    **documenting.documented(schemas.QueueAnswer, body=schemas.QueueOverrideBody, errors=_ERRORS),
)
async def override(request: Request, queue: str, caller: _Writes) -> Response:
    """Counts in place of the declared limit, also in later versions, until it is reset."""
    body = await bodies.read_model(request, schemas.QueueOverrideBody)
    name = await _writable(request, caller, queue, body.type)
    return _answer(await context.of(request).engine.queues.override_limit(name, body.concurrency_limit))


@router.post(
    _ONE + "/concurrency/reset",
    summary="Reset a queue's limit to the declared one",
    **documenting.documented(schemas.QueueAnswer, body=schemas.QueueBody, errors=_ERRORS),
)
async def reset(request: Request, queue: str, caller: _Writes) -> Response:
    """Of a limit that is not overridden, nothing changes."""
    body = await bodies.read_model(request, schemas.QueueBody)
    name = await _writable(request, caller, queue, body.type)
    return _answer(await context.of(request).engine.queues.override_limit(name, None))


async def _writable(request: Request, caller: Caller, queue: str, kind: str) -> str:
    found = await context.of(request).engine.queues.retrieve(_name(queue, kind))
    caller.require(queues=[found.queue.name])
    return found.queue.name


def _name(queue: str, kind: str) -> str:
    name = unquote(queue)
    if kind == "id" and not queues.is_id(name):
        raise problems.not_found("Queue not found")
    return f"task/{name}" if kind == "task" else name


def _answer(found: QueueDetail) -> Response:
    return bodies.answer(present.queue(found))
