"""What a run did and said: its trace, a span, events and log lines."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.engine.model import LogEntry
from triggerdev.server import bodies, context, documenting, events, problems, traces
from triggerdev.server.access import Allow, Caller
from triggerdev.server.routes.runs import READ_GRANTS, Wait, readable_run
from triggerdev.server.schemas import run_events as schemas

router = APIRouter(tags=["runs"])
_Reads = Annotated[Caller, Depends(Allow(*READ_GRANTS))]
MAX_PAGE = 10_000
_MOST_OF_PAGES = 100_000


@router.get(
    "/api/v1/runs/{run_id}/events",
    summary="What a run did, printed and logged",
    **documenting.documented(schemas.EventsAnswer),
)
async def list_events(
    request: Request,
    run_id: str,
    caller: _Reads,
    after: Annotated[
        int | None,
        Query(ge=0, le=2**53, description="Only lines, those with a greater `seq`. An extension."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    wait: Wait = None,
) -> Response:
    """Spans and lines. To follow the lines: ask again with `after` = the last `seq` (0 at first), until
    `isCompleted` is true and no events come.
    """
    api = context.of(request)
    run = (await readable_run(api, caller, run_id)).run
    final = run.status.is_final
    entries = await api.engine.read_logs(run_id, after_seq=after or 0, limit=limit)
    if not entries and not final and wait:
        entries = (await _wait_for_logs(api, run_id, after or 0, wait))[:limit]
        final = False  # asked for before the lines were read, or not known: the next call tells
    shown = [events.log_event(entry, run) for entry in entries]
    if after is None and wait is None:
        shown += events.span_events(await api.engine.read_trace(run_id))
        shown.sort(key=lambda event: int(event["startTime"]))
    answer: dict[str, Any] = {"events": shown, "isCompleted": final}
    return bodies.answer(answer)


async def _wait_for_logs(api: context.Api, run_id: str, after: int, wait: float) -> list[LogEntry]:
    """Wait for lines or any change of the run, so that a silent run's end is news too."""
    rev = (await api.engine.retrieve_run(run_id)).run.rev
    lines = asyncio.ensure_future(api.engine.wait_logs(run_id, after_seq=after, timeout=wait))
    change = asyncio.ensure_future(api.engine.wait_run(run_id, since_rev=rev, timeout=wait))
    try:
        await api.hold(lambda: asyncio.wait((lines, change), return_when=asyncio.FIRST_COMPLETED))
    finally:
        for waiting in (lines, change):
            waiting.cancel()
        await asyncio.gather(lines, change, return_exceptions=True)
    return await api.engine.read_logs(run_id, after_seq=after)


@router.get(
    "/api/v1/runs/{run_id}/trace",
    summary="The spans of a run and its descendants",
    **documenting.documented(schemas.TraceAnswer, errors=(400, 401, 403, 404)),
)
async def trace(
    request: Request,
    run_id: str,
    caller: _Reads,
    size: Annotated[
        int | None, Query(alias="page[size]", ge=1, le=MAX_PAGE, description="Flat spans, in pages.")
    ] = None,
    after: Annotated[str | None, Query(alias="page[after]", description="`pagination.next`.")] = None,
) -> Response:
    """A tree below the run's own span. Durations are nanoseconds."""
    api = context.of(request)
    run = (await readable_run(api, caller, run_id)).run
    if size is None and after is None:
        return bodies.answer(traces.tree(await api.engine.read_trace(run_id)))
    if run.parent_id is not None:
        raise problems.bad_request("pages are of traces of root runs; ask without page parameters")
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 10):
        raise problems.bad_request(f"page[after]: {after!r:.40} is no cursor that this server gave out")
    found = await api.engine.read_trace(run_id, most=_MOST_OF_PAGES)
    return bodies.answer(traces.page(found, size or MAX_PAGE, int(after or 0)))


@router.get(
    "/api/v1/runs/{run_id}/spans/{span_id}",
    summary="One span of a run",
    **documenting.documented(schemas.SpanAnswer),
)
async def span(request: Request, run_id: str, span_id: str, caller: _Reads) -> Response:
    """With its properties, its events and the runs that it triggered."""
    api = context.of(request)
    await readable_run(api, caller, run_id)
    found = traces.detail(await api.engine.read_trace(run_id), span_id)
    if found is None:
        raise problems.not_found("Span not found")
    return bodies.answer(found)
