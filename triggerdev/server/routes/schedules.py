"""Schedules: those that task files declare, and those that calls make."""

from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.engine.model import Schedule, ScheduleOptions
from triggerdev.server import bodies, context, documenting, listing, present, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import common
from triggerdev.server.schemas import schedules as schemas

router = APIRouter(tags=["schedules"])
_Key = Annotated[Caller, Depends(Allow())]
_BASE = "/api/v1/schedules"
_ONE = _BASE + "/{schedule_id}"
_BODY_ERRORS = (400, 401, 403, 404, 413, 422)


@router.post(
    _BASE,
    summary="Create a schedule",
    **documenting.documented(schemas.ScheduleAnswer, body=schemas.ScheduleBody, errors=_BODY_ERRORS),
)
async def create(request: Request, caller: _Key) -> Response:
    """One that has the same deduplicationKey is changed instead."""
    api = context.of(request)
    body = await bodies.read_model(request, schemas.ScheduleBody)
    options = _options(body, body.deduplication_key)
    made = await api.repeats.once(request, lambda _: api.engine.schedules.create(options))
    return _answer(api, made)


@router.put(
    _ONE,
    summary="Change a schedule",
    **documenting.documented(schemas.ScheduleAnswer, body=schemas.ScheduleUpdateBody, errors=_BODY_ERRORS),
)
async def update(request: Request, schedule_id: str, caller: _Key) -> Response:
    """What the body leaves out gets its default. A declarative schedule is refused with 422."""
    api = context.of(request)
    body = await bodies.read_model(request, schemas.ScheduleUpdateBody)
    return _answer(api, await api.engine.schedules.update(schedule_id, _options(body, None)))


@router.delete(
    _ONE,
    summary="Delete a schedule",
    **documenting.documented(common.IdAnswer, errors=(401, 403, 404, 422)),
)
async def delete(request: Request, schedule_id: str, caller: _Key) -> Response:
    """Its runs stay. A declarative schedule is refused with 422."""
    await context.of(request).engine.schedules.delete(schedule_id)
    return bodies.answer({"id": schedule_id})


@router.post(
    _ONE + "/activate", summary="Let a schedule run again", **documenting.documented(schemas.ScheduleAnswer)
)
async def activate(request: Request, schedule_id: str, caller: _Key) -> Response:
    """From its next slot on; those that have passed are not made up for."""
    api = context.of(request)
    return _answer(api, await api.engine.schedules.set_active(schedule_id, True))


@router.post(
    _ONE + "/deactivate", summary="Let a schedule rest", **documenting.documented(schemas.ScheduleAnswer)
)
async def deactivate(request: Request, schedule_id: str, caller: _Key) -> Response:
    """It keeps its slots and runs nothing."""
    api = context.of(request)
    return _answer(api, await api.engine.schedules.set_active(schedule_id, False))


def _options(body: schemas.ScheduleUpdateBody, key: str | None) -> ScheduleOptions:
    if body.window is not None:
        raise problems.unprocessable("window: runs of this server start at their slot; leave `window` out")
    return ScheduleOptions(body.task, body.cron, body.timezone or "UTC", body.external_id, key)


def _answer(api: context.Api, found: Schedule) -> Response:
    return bodies.answer(present.schedule(found, api.engine.environment))


@router.get(
    _BASE,
    summary="List schedules",
    **documenting.documented(schemas.SchedulePage, errors=(400, 401, 403)),
)
async def list_schedules(
    request: Request, query: Annotated[listing.OffsetPaging, Query()], caller: _Key
) -> Response:
    """Pages by number."""
    api = context.of(request)
    found, count = await api.engine.schedules.list(page=query.page, per_page=query.per_page)
    env = api.engine.environment
    pages = {"currentPage": query.page, "totalPages": -(-count // query.per_page), "count": count}
    return bodies.answer({"data": [present.schedule(item, env) for item in found], "pagination": pages})


@router.get(
    _ONE,
    summary="Retrieve a schedule",
    **documenting.documented(schemas.ScheduleAnswer),
)
async def retrieve(request: Request, schedule_id: str, caller: _Key) -> Response:
    """With the time of its next run."""
    api = context.of(request)
    return _answer(api, await api.engine.schedules.retrieve(schedule_id))


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
