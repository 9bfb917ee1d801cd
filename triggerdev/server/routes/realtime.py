"""Subscriptions to runs, in the protocol of Electric shapes that the official clients speak.

A client asks for everything (`offset=-1`), then again and again with `live=true` and the offset of the last
answer; such a request is held until something has changed, at most 20 seconds.
"""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from triggerdev import _durations
from triggerdev.engine.model import Run
from triggerdev.server import bodies, context, documenting, listing, problems, shapes
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import realtime as schemas
from triggerdev.server.subscriptions import OfBatch, Offset, Selection, Tagged

router = APIRouter(tags=["realtime"])
_GRANTS = ("read:runs", "read:tasks", "read:tags", "read:batch")
_Reads = Annotated[Caller, Depends(Allow(*_GRANTS))]
_ReadsTags = Annotated[Caller, Depends(Allow("read:tags", "read:runs"))]
_ReadsBatch = Annotated[Caller, Depends(Allow("read:batch"))]
_HOLD_S = 20.0
_DAY_MS = 86_400_000
_MAX_TAGS = 10


class ShapeQuery(BaseModel):
    """What a client of shapes sends."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    offset: str = Field("-1", max_length=40, description="-1, or `electric-offset` of the last answer.")
    handle: str = Field("", max_length=64, description="`electric-handle` of the last answer.")
    live: bool = Field(False, description="Wait for a change, 20 s at most.")
    skip_columns: listing.Text = Field(None, alias="skipColumns", examples=["payload,output"])

    def skipped(self, caller: Caller) -> frozenset[str]:
        """Give the columns that are left out: what is asked for, and what the caller's token says."""
        fixed = caller.claims.skip_columns if caller.claims is not None else frozenset()
        return (frozenset(listing.split(self.skip_columns)) | fixed) - shapes.RESERVED

    def position(self) -> Offset | None:
        return Offset.parse(self.offset) if self.live else None


class TagQuery(ShapeQuery):
    tags: str = Field(max_length=4096, description="Separated by commas; a run must have all of them.")
    created_at: listing.Text = Field(
        None, alias="createdAt", description='Runs of the last "1h"; default 1d.'
    )


_Shape = Annotated[ShapeQuery, Query()]


@router.get(
    "/realtime/v1/runs/{run_id}",
    summary="Follow a run",
    **documenting.documented(schemas.ShapeAnswer, errors=(400, 401, 403, 404)),
)
async def follow_run(request: Request, run_id: str, query: _Shape, caller: _Reads) -> Response:
    """The row of the run, and again at each change."""
    api = context.of(request)
    run = (await api.engine.retrieve_run(run_id)).run
    caller.require(runs=[run.id], tasks=[run.task], tags=run.tags, batch=[run.batch_id])
    position = query.position()
    handle = query.handle or run.id
    if position is None:
        return _answer(handle, Offset(run.rev, 0), [run], query.skipped(caller), is_first=True)
    if run.rev <= position.at:
        changed = await api.hold(
            lambda: api.engine.wait_run(run_id, since_rev=position.at, timeout=_HOLD_S, until_final=False)
        )
        run = changed.run if changed is not None else run
    news = [run] if run.rev > position.at else []
    return _answer(handle, Offset(run.rev, 0), news, query.skipped(caller))


@router.get(
    "/realtime/v1/runs",
    summary="Follow the runs of a tag",
    **documenting.documented(schemas.ShapeAnswer, errors=(400, 401, 403)),
)
async def follow_tag(request: Request, query: Annotated[TagQuery, Query()], caller: _ReadsTags) -> Response:
    """Rows of all runs that have the tags; new ones are added as they come."""
    tags = tuple(dict.fromkeys(listing.split(query.tags)))
    if not 1 <= len(tags) <= _MAX_TAGS:
        raise problems.bad_request("Query Error", [f"tags: 1 to {_MAX_TAGS} tags are needed"])
    if not caller.holds("read", "runs"):
        caller.require(tags=tags)
    span = _durations.parse_duration_ms(query.created_at) if query.created_at else _DAY_MS
    if span is None:
        raise problems.bad_request("Query Error", [f'createdAt: {query.created_at!r} is no duration as "1h"'])
    created_from = context.of(request).now_ms() - span
    return await _follow(request, query, caller, Tagged(tags, created_from), f"{tags} {span}")


@router.get(
    "/realtime/v1/batches/{batch_id}",
    summary="Follow the runs of a batch",
    **documenting.documented(schemas.ShapeAnswer, errors=(400, 401, 403, 404)),
)
async def follow_batch(request: Request, batch_id: str, query: _Shape, caller: _ReadsBatch) -> Response:
    """Rows of all runs of the batch."""
    caller.require(batch=[batch_id])
    return await _follow(request, query, caller, OfBatch(batch_id), batch_id)


async def _follow(
    request: Request, query: ShapeQuery, caller: Caller, selection: Selection, name: str
) -> Response:
    api = context.of(request)
    skipped = query.skipped(caller)
    position = query.position()
    if position is None:
        handle = uuid.uuid4().hex
        found, runs = await api.subscriptions.begin(api.engine, f"{handle} {name}", selection)
        return _answer(handle, found.offset, runs, skipped, is_first=True)
    handle = query.handle or uuid.uuid4().hex
    found, runs = await api.subscriptions.resume(api.engine, f"{handle} {name}", selection, position)
    if not runs:
        runs = await api.hold(lambda: found.changes(api.engine, position, _HOLD_S)) or []
    return _answer(handle, found.offset, runs, skipped)


def _answer(
    handle: str, offset: Offset, runs: list[Run], skipped: frozenset[str], *, is_first: bool = False
) -> Response:
    operation = "insert" if is_first else "update"
    messages: list[dict[str, Any]] = [shapes.message(run, operation, skipped) for run in runs]
    headers = {
        "electric-handle": handle,
        "electric-offset": str(offset),
        "electric-up-to-date": "",
        "cache-control": "no-store",
    }
    if is_first:
        headers["electric-schema"] = shapes.schema(skipped)
    else:
        headers["electric-cursor"] = str(offset)
    return bodies.answer([*messages, shapes.UP_TO_DATE], headers=headers)
