"""Reading runs: one, many, outcomes, log lines; with long polls."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.engine.model import Page, Run, RunDetail, RunFilter
from triggerdev.server import bodies, context, documenting, links, listing, present, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import runs as schemas

router = APIRouter(tags=["runs"])
READ_GRANTS = ("read:runs", "read:tasks", "read:tags", "read:batch")
_Reads = Annotated[Caller, Depends(Allow(*READ_GRANTS))]

MAX_WAIT_S = 20
Wait = Annotated[
    float | None, Query(ge=0, le=MAX_WAIT_S, description="Long poll: seconds to wait for news. An extension.")
]


@router.get("/api/v3/runs/{run_id}", summary="Retrieve a run", **documenting.documented(schemas.RunAnswer))
async def retrieve(
    request: Request,
    run_id: str,
    caller: _Reads,
    wait: Wait = None,
    since: Annotated[
        int | None,
        Query(
            ge=-1, le=2**53, description="With `wait`: wait until `rev` is greater; by default until the end."
        ),
    ] = None,
) -> Response:
    """Payload and output are plain JSON. `rev` grows with every change."""
    api = context.of(request)
    if caller.has_key and wait and since is not None:
        detail = await _next_change(api, run_id, since, wait)
        return bodies.answer(present.run_detail(detail, links.of_request(request)))
    detail = await readable_run(api, caller, run_id)
    if wait and not detail.run.status.is_final:
        if since is None:
            detail = await _wait_for_end(api, detail, wait)
        elif detail.run.rev <= since:
            detail = await _next_change(api, run_id, since, wait)
    return bodies.answer(present.run_detail(detail, links.of_request(request)))


async def readable_run(api: context.Api, caller: Caller, run_id: str) -> RunDetail:
    """Retrieve a run that the caller may read."""
    detail = await api.engine.retrieve_run(run_id)
    run = detail.run
    caller.require(runs=[run.id], tasks=[run.task], tags=run.tags, batch=[run.batch_id])
    return detail


async def _next_change(api: context.Api, run_id: str, since: int, wait: float) -> RunDetail:
    found = await api.hold(lambda: api.engine.wait_run(run_id, since_rev=since, timeout=wait))
    return found if found is not None else await api.engine.retrieve_run(run_id)


async def _wait_for_end(api: context.Api, detail: RunDetail, wait: float) -> RunDetail:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while not detail.run.status.is_final and not api.is_stopping():
        left = deadline - loop.time()
        if left <= 0:
            break
        detail = await _next_change(api, detail.run.id, detail.run.rev, left)
    return detail


@router.get(
    "/api/v1/runs",
    summary="List runs, newest first",
    **documenting.documented(schemas.RunPage, errors=(400, 401, 403)),
)
async def list_runs(
    request: Request, query: Annotated[listing.RunQuery, Query()], caller: _Reads
) -> Response:
    """Filters are combined with and, the values of one filter with or."""
    api = context.of(request)
    where = query.filter(api.now_ms())
    _require_listing(caller, where)
    if query.region or query.bulk_action:
        page: Page[Run] = Page([])
    else:
        page = await api.engine.list_runs(where, size=query.size, after=query.after, before=query.before)
    env = api.engine.environment
    data = [present.run_item(run, env) for run in page.items]
    return bodies.answer({"data": data, "pagination": listing.cursors(page)})


def _require_listing(caller: Caller, where: RunFilter) -> None:
    """Refuse with 403 unless everything that the filter can find is covered."""
    covered = caller.holds("read", "runs") or any(
        ids and all(caller.holds("read", kind, id) for id in ids)
        for kind, ids in (
            ("tasks", where.task),
            ("tags", where.tag),
            ("batch", [where.batch] if where.batch else []),
        )
    )
    if not covered:
        raise problems.forbidden("filter by tasks, tags or a batch that the Public Access Token may read")


@router.get(
    "/api/v1/runs/{run_id}/result",
    summary="Outcome of a final run",
    **documenting.documented(schemas.ResultAnswer),
)
async def result(request: Request, run_id: str, caller: _Reads) -> Response:
    """Output and error in the form that workers exchange; 404 while the run is not final."""
    detail = await readable_run(context.of(request), caller, run_id)
    if not detail.run.status.is_final:
        raise problems.not_found("Run either doesn't exist or is not finished")
    return bodies.answer(present.execution_result(detail.run))


@router.get(
    "/api/v1/runs/{run_id}/metadata",
    summary="A run's metadata",
    **documenting.documented(schemas.MetadataAnswer),
)
async def metadata(request: Request, run_id: str, caller: _Reads) -> Response:
    """An empty object when the run has none."""
    detail = await readable_run(context.of(request), caller, run_id)
    return bodies.answer({"metadata": detail.run.metadata or {}})
