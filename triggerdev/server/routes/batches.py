"""Batches: created, then filled by a stream of items; the older one-request forms; what became of them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from triggerdev._crash import crash_point
from triggerdev.engine.model import Batch, BatchCreated, ItemsAccepted, Run, RunFilter, TriggerItem
from triggerdev.protocol import MAX_PAYLOAD_BYTES
from triggerdev.server import bodies, callers, context, documenting, payloads, present, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import batches as schemas

router = APIRouter(tags=["batches"])
_Triggers = Annotated[Caller, Depends(Allow("batchTrigger:tasks", "write:tasks"))]
_Reads = Annotated[Caller, Depends(Allow("read:batch"))]

MAX_ITEMS = 1000
_HAND_OVER_BYTES = 16 * 1024 * 1024
_MAX_LINE_BYTES = 2 * MAX_PAYLOAD_BYTES
_LEGACY_BODY_BYTES = 4 * MAX_PAYLOAD_BYTES
_ERRORS = (400, 401, 403, 404, 413, 422, 507)


@router.post(
    "/api/v3/batches",
    summary="Create a batch",
    **documenting.documented(schemas.BatchCreatedAnswer, status=202, body=schemas.BatchBody, errors=_ERRORS),
)
async def create(request: Request, caller: _Triggers) -> Response:
    """Then stream its items. The `x-trigger-jwt` header is a public access token that may read the batch."""
    body = await bodies.read_model(request, schemas.BatchBody)
    caller.require_each("tasks", body.task_identifiers or [])
    api = context.of(request)
    made = await api.repeats.once(request, lambda key: _create(api, caller, body, key))
    crash_point("server.batch_stored")
    shown: dict[str, Any] = {"id": made.id, "runCount": made.run_count, "isCached": made.is_cached}
    if body.idempotency_key is not None:
        shown["idempotencyKey"] = body.idempotency_key
    return bodies.answer(shown, 202, {"x-trigger-jwt": api.signer.sign((f"read:batch:{made.id}",))})


async def _create(api: context.Api, caller: Caller, body: schemas.BatchBody, key: str | None) -> BatchCreated:
    ttl_ms = payloads.key_ttl_ms(body.idempotency_key_ttl)
    api.used_tokens.use(caller.claims, "a batch")
    try:
        made = await api.engine.create_batch(
            run_count=body.run_count,
            idempotency_key=body.idempotency_key,
            idempotency_ttl_ms=ttl_ms,
            parent_id=body.parent_run_id,
            request=key,
        )
    except Exception:
        api.used_tokens.forget(caller.claims)
        raise
    api.used_tokens.bind(caller.claims, made.id)
    return made


@router.post(
    "/api/v3/batches/{batch_id}/items",
    summary="Stream the items of a batch",
    **documenting.documented(
        schemas.ItemsAnswer, body=schemas.BatchItemLine, media="application/x-ndjson", errors=_ERRORS
    ),
)
async def add_items(request: Request, batch_id: str, caller: _Triggers) -> Response:
    """One JSON object a line. Items whose index is there already are dropped, so a stream can be repeated."""
    api = context.of(request)
    if not api.used_tokens.made(caller.claims, batch_id):
        raise problems.forbidden("a one-time use token fills only the batch that it has made")
    total = ItemsAccepted(accepted=0, deduplicated=0, sealed=False)
    handed_over = False
    trace = callers.trace_of(request)
    async for items in _item_groups(request, api, caller):
        found = await api.engine.add_batch_items(batch_id, items, caller=trace)
        crash_point("server.items_stored")
        total.accepted += found.accepted
        total.deduplicated += found.deduplicated
        total.sealed = found.sealed
        handed_over = True
    batch = None if handed_over and total.sealed else await api.engine.retrieve_batch(batch_id)
    return bodies.answer(_items_answer(batch_id, total, batch))


def _items_answer(batch_id: str, total: ItemsAccepted, batch: Batch | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": batch_id,
        "itemsAccepted": total.accepted,
        "itemsDeduplicated": total.deduplicated,
        "sealed": batch.sealed if batch is not None else total.sealed,
    }
    if batch is not None and not batch.sealed:
        shown["enqueuedCount"] = batch.accepted
        shown["expectedCount"] = batch.run_count
    return shown


async def _item_groups(
    request: Request, api: context.Api, caller: Caller
) -> AsyncIterator[list[TriggerItem]]:
    """Read items as they arrive and give them in few groups: up to 1000 items or 16 MB each."""
    group: list[TriggerItem] = []
    size = count = 0
    packets = api.packets if caller.has_key else None
    async for line in _lines(request):
        count += 1
        item = await payloads.trigger_item(*_item_parts(line, count), packets=packets, where=count)
        caller.require(tasks=[item.task])
        group.append(item)
        size += len(item.payload or "") or len(line)
        crash_point("server.item_read")
        if len(group) == MAX_ITEMS or size > _HAND_OVER_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _item_parts(line: bytes, number: int) -> tuple[dict[str, Any], str, int]:
    try:
        item = bodies.parse_json(line)
    except ValueError as error:
        raise problems.bad_request(f"Invalid JSON in line {number}", [str(error)]) from None
    if not isinstance(item, dict):
        raise problems.bad_request(f"line {number}: must be an object")
    index, task = item.get("index"), item.get("task")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MAX_ITEMS:
        raise problems.bad_request(f"line {number}: index: must be a whole number from 0 to {MAX_ITEMS - 1}")
    if not isinstance(task, str):
        raise problems.bad_request(f"line {number}: task: must be a string")
    return item, task, index


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """Split a stream at newlines; a line over 6 MB is refused before it is read to its end."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        *complete, rest = chunk.split(b"\n")
        for end in complete:
            line = b"".join((*pieces, end)) if pieces else end
            pieces, size = [], 0
            if line.strip():
                yield line
        if rest:
            pieces.append(rest)
            size += len(rest)
            if size > _MAX_LINE_BYTES:
                raise problems.too_large("batch item", None, MAX_PAYLOAD_BYTES)
    last = b"".join(pieces)
    if last.strip():
        yield last


@router.post(
    "/api/v2/tasks/batch",
    summary="Trigger a batch in one request (older form)",
    **documenting.documented(
        schemas.LegacyBatchAnswer, status=202, body=schemas.LegacyBatchBody, errors=_ERRORS
    ),
)
async def trigger_batch(request: Request, caller: _Triggers) -> Response:
    """Every item names its task."""
    api = context.of(request)
    batch_id, count = await _trigger_at_once(request, api, caller, None)
    token = api.signer.sign((f"read:batch:{batch_id}",))
    return bodies.answer({"id": batch_id, "runCount": count}, 202, {"x-trigger-jwt": token})


@router.post(
    "/api/v1/tasks/{task_id:path}/batch",
    summary="Trigger a batch of one task in one request (oldest form)",
    **documenting.documented(schemas.LegacyTaskBatchAnswer, body=schemas.LegacyBatchBody, errors=_ERRORS),
)
async def trigger_task_batch(request: Request, task_id: str, caller: _Triggers) -> Response:
    """The items have no task of their own."""
    api = context.of(request)
    batch_id, _ = await _trigger_at_once(request, api, caller, task_id)
    batch = await api.engine.retrieve_batch(batch_id)
    token = api.signer.sign((f"read:batch:{batch_id}",))
    return bodies.answer({"batchId": batch_id, "runs": batch.runs}, headers={"x-trigger-jwt": token})


async def _trigger_at_once(
    request: Request, api: context.Api, caller: Caller, task: str | None
) -> tuple[str, int]:
    body = await bodies.read_object(request, _LEGACY_BODY_BYTES)
    items = await _legacy_items(body, api, caller, task)
    parent = body.get("parentRunId")
    create = schemas.BatchBody(
        run_count=len(items), parent_run_id=parent if isinstance(parent, str) else None
    )

    async def make(key: str | None) -> BatchCreated:
        made = await _create(api, caller, create, key)
        await api.engine.add_batch_items(made.id, items, caller=callers.trace_of(request))
        return made

    made = await api.repeats.once(request, make)
    return made.id, made.run_count


async def _legacy_items(
    body: dict[str, Any], api: context.Api, caller: Caller, task: str | None
) -> list[TriggerItem]:
    found = body.get("items")
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_ITEMS:
        raise problems.bad_request(f"items: must be a list of 1 to {MAX_ITEMS} items")
    packets = api.packets if caller.has_key else None
    items = []
    for index, entry in enumerate(found):
        own = entry.get("task") if isinstance(entry, dict) else None
        name = task if task is not None else own
        if not isinstance(entry, dict) or not isinstance(name, str):
            raise problems.bad_request(f"items.{index}: must be an object that names its task")
        caller.require(tasks=[name])
        items.append(await payloads.trigger_item(entry, name, index, packets=packets, where=index + 1))
    return items


@router.get(
    "/api/v2/batches/{batch_id}", summary="Retrieve a batch", **documenting.documented(schemas.BatchAnswer)
)
async def retrieve(request: Request, batch_id: str, caller: _Reads) -> Response:
    """A batch is COMPLETED when every run of it is final."""
    caller.require(batch=[batch_id])
    return bodies.answer(present.batch(await context.of(request).engine.retrieve_batch(batch_id)))


@router.get(
    "/api/v1/batches/{batch_id}/results",
    summary="Outcomes of a completed batch",
    **documenting.documented(schemas.BatchResultsAnswer),
)
async def results(request: Request, batch_id: str, caller: _Reads) -> Response:
    """In the order of the items; 404 while any run is not final."""
    caller.require(batch=[batch_id])
    api = context.of(request)
    batch = await api.engine.retrieve_batch(batch_id)
    if batch.completed_at is None:
        raise problems.not_found("Batch not completed yet")
    runs = await _runs_of(api, batch_id)
    items = [present.execution_result(runs[run_id]) for run_id in batch.runs if run_id in runs]
    return bodies.answer({"id": batch_id, "items": items})


async def _runs_of(api: context.Api, batch_id: str) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    after: str | None = None
    while True:
        page = await api.engine.list_runs(RunFilter(batch=batch_id), size=100, after=after)
        runs.update((run.id, run) for run in page.items)
        after = page.next
        if after is None:
            return runs
