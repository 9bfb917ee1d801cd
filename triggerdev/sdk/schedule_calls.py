"""The calls of `schedules`: make, change and look at schedules.

Inside a run, what changes something is a durable operation; elsewhere, and to look, it is a request.
"""

import builtins
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from triggerdev import protocol
from triggerdev.errors import PayloadError
from triggerdev.sdk import http, session, times
from triggerdev.sdk.calls import drive_iterator, operation, refuse_loop
from triggerdev.sdk.task import Task

_PATH = "/api/v1/schedules"
_PER_PAGE = 100


@dataclass(frozen=True)
class Schedule:
    """A schedule. `type` is DECLARATIVE (of a task's code) or IMPERATIVE (made by `schedules.create`).

    `next_run` is its next slot, also while it is not active and runs nothing.
    """

    id: str
    task: str
    cron: str
    timezone: str
    type: str
    active: bool
    next_run: datetime | None = None
    deduplication_key: str | None = None
    external_id: str | None = None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Schedule":
        """Read a schedule of the HTTP API."""
        return cls(
            id=answer["id"],
            task=answer["task"],
            cron=(answer.get("generator") or {}).get("expression", ""),
            timezone=answer.get("timezone") or "UTC",
            type=answer.get("type", "DECLARATIVE"),
            active=answer.get("active", True),
            next_run=times.parse_moment(answer.get("nextRun")),
            deduplication_key=answer.get("deduplicationKey"),
            external_id=answer.get("externalId"),
        )


@operation("schedules.create")
async def create(
    *,
    task: str | Task[Any],
    cron: str,
    deduplication_key: str,
    timezone: str = "UTC",
    external_id: str | None = None,
) -> Schedule:
    """Make a schedule for a task that `@schedules.task` defines; a task can have any number of them.

    A second call with the same `deduplication_key` changes the first's schedule. `external_id` comes with
    each run's payload, such as the id of the user whom it is for. Raises UnprocessableEntityError (inside a
    run InvalidOptionError) for a wrong cron pattern, time zone or task; PayloadError.
    """
    body = _body(task, cron, timezone, external_id)
    body["deduplicationKey"] = _text("deduplication_key", deduplication_key)
    return Schedule.of(await _do("create", None, "POST", "", body))


@operation("schedules.update")
async def update(
    schedule: "str | Schedule",
    *,
    task: str | Task[Any],
    cron: str,
    timezone: str = "UTC",
    external_id: str | None = None,
) -> Schedule:
    """Replace task, cron, time zone and external id of a schedule; whether it is active stays.

    Raises NotFoundError (inside a run NoSuchRunError), and as `create` does; also for a declarative schedule.
    """
    body = _body(task, cron, timezone, external_id)
    return Schedule.of(await _do("update", _id(schedule), "PUT", "", body))


@operation("schedules.activate")
async def activate(schedule: "str | Schedule") -> Schedule:
    """Let a schedule run again from its next slot on. Raises NotFoundError (in a run NoSuchRunError)."""
    return Schedule.of(await _do("activate", _id(schedule), "POST", "/activate"))


@operation("schedules.deactivate")
async def deactivate(schedule: "str | Schedule") -> Schedule:
    """Let a schedule rest: it keeps its slots and runs nothing.

    Raises NotFoundError (inside a run NoSuchRunError).
    """
    return Schedule.of(await _do("deactivate", _id(schedule), "POST", "/deactivate"))


@operation("schedules.delete")
async def delete(schedule: "str | Schedule") -> None:
    """Delete a schedule; runs that it has made stay. Raises as `update` does."""
    await _do("delete", _id(schedule), "DELETE", "")


async def _do(
    action: str, schedule_id: str | None, method: str, suffix: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    running = session.current()
    if running is not None:
        target = schedule_id or (body or {}).get("deduplicationKey")
        args = {"action": action, "id": schedule_id, "options": body or {}}
        result: dict[str, Any] = await running.operate(protocol.SCHEDULE, f"{action} {target}", args)
        return result
    place = "" if schedule_id is None else f"/{quote(schedule_id, safe='')}"
    answer: dict[str, Any] = (await http.request(method, _PATH + place + suffix, json=body)).body
    return answer


def _body(task: str | Task[Any], cron: str, timezone: str, external_id: str | None) -> dict[str, Any]:
    body = {
        "task": _text("task", task.id if isinstance(task, Task) else task),
        "cron": _text("cron", cron),
        "timezone": _text("timezone", timezone),
    }
    if external_id is not None:
        body["externalId"] = _text("external_id", external_id)
    return body


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise PayloadError(f"{name}={value!r:.60}: must be text that is not empty.")
    return value


def _id(schedule: "str | Schedule") -> str:
    found = schedule.id if isinstance(schedule, Schedule) else schedule
    if not isinstance(found, str) or not found:
        raise PayloadError(f"{schedule!r:.60} is no schedule: use its id, or what schedules.create gave.")
    return found


@operation("schedules.retrieve")
async def retrieve(schedule: "str | Schedule") -> Schedule:
    """Look at a schedule. Raises NotFoundError."""
    return Schedule.of((await http.request("GET", f"{_PATH}/{quote(_id(schedule), safe='')}")).body)


@operation("schedules.timezones")
async def timezones(*, exclude_utc: bool = False) -> builtins.list[str]:
    """List the IANA names that a schedule's time zone can have, UTC first."""
    params = {"excludeUtc": "true"} if exclude_utc else {}
    answer = await http.request("GET", "/api/v1/timezones", params=params)
    return builtins.list(answer.body["timezones"])


async def _all() -> AsyncIterator[Schedule]:
    page, last = 1, 1
    while page <= last:
        params = {"page": page, "perPage": _PER_PAGE}
        answer = (await http.request("GET", _PATH, params=params)).body
        for item in answer["data"]:
            yield Schedule.of(item)
        last = (answer.get("pagination") or {}).get("totalPages", 1)
        page += 1


def list() -> AsyncIterator[Schedule]:
    """List all schedules; pages are fetched while you iterate with `async for`."""
    return _all()


def list_blocking() -> Iterator[Schedule]:
    """List all schedules; pages are fetched while you iterate."""
    refuse_loop("schedules.list")
    return drive_iterator(_all())
