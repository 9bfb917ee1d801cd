"""Schedules, read-only for now: they are declared in task files."""

from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.server import bodies, context, documenting, listing, present, schemas
from triggerdev.server.access import Allow, Caller

router = APIRouter(tags=["schedules"])
_Key = Annotated[Caller, Depends(Allow())]


@router.get(
    "/api/v1/schedules",
    summary="List schedules",
    **documenting.documented(schemas.SchedulePage, errors=(400, 401, 403)),
)
async def list_schedules(
    request: Request, query: Annotated[listing.OffsetPaging, Query()], caller: _Key
) -> Response:
    """Pages by number."""
    api = context.of(request)
    found, count = await api.engine.list_schedules(page=query.page, per_page=query.per_page)
    env = api.engine.environment
    pages = {"currentPage": query.page, "totalPages": -(-count // query.per_page), "count": count}
    return bodies.answer({"data": [present.schedule(item, env) for item in found], "pagination": pages})


@router.get(
    "/api/v1/schedules/{schedule_id}",
    summary="Retrieve a schedule",
    **documenting.documented(schemas.ScheduleAnswer),
)
async def retrieve(request: Request, schedule_id: str, caller: _Key) -> Response:
    """With the time of its next run."""
    api = context.of(request)
    found = await api.engine.retrieve_schedule(schedule_id)
    return bodies.answer(present.schedule(found, api.engine.environment))


@router.get(
    "/api/v1/timezones",
    summary="Time zones that schedules can have",
    **documenting.documented(schemas.TimezonesAnswer, errors=(400,)),
)
async def timezones(exclude_utc: Annotated[bool, Query(alias="excludeUtc")] = False) -> Response:
    """IANA names; needs no key."""
    names = await run_in_threadpool(_timezones)
    return bodies.answer({"timezones": [name for name in names if not (exclude_utc and name == "UTC")]})


@cache
def _timezones() -> list[str]:
    from zoneinfo import available_timezones  # reads a folder tree: once, and not on the loop

    return ["UTC", *sorted(available_timezones() - {"UTC"})]
