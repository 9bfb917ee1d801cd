"""`schedules`: tasks that run by the clock."""

import builtins
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Unpack

from triggerdev.errors import TaskDefinitionError
from triggerdev.protocol import ScheduleInfo
from triggerdev.sdk import http, times
from triggerdev.sdk.calls import drive_iterator, refuse_loop
from triggerdev.sdk.task import Task, TaskDecorator, TaskOptions

__all__ = ["Cron", "Payload", "Schedule", "list", "sync", "task"]

_PER_PAGE = 100


@dataclass(frozen=True)
class Cron:
    """When a task runs: five cron fields in an IANA time zone."""

    pattern: str
    timezone: str = "UTC"
    environments: builtins.list[str] | None = None


@dataclass
class Payload:
    """What a scheduled run gets. `timestamp` is the slot it stands for; all moments are in UTC.

    `upcoming` holds the next slots; `last_timestamp` is None in the first run; `timezone` is an IANA name.
    """

    timestamp: datetime
    timezone: str = "UTC"
    schedule_id: str = ""
    last_timestamp: datetime | None = None
    type: str = "DECLARATIVE"
    external_id: str | None = None
    upcoming: builtins.list[datetime] = field(default_factory=builtins.list)

    @classmethod
    def of(cls, value: Any) -> "Payload":
        """Read a payload of the wire; an empty one (a run triggered by hand) stands for this moment."""
        data = value if isinstance(value, dict) else {}

        def get(camel: str, snake: str) -> Any:
            return data.get(camel, data.get(snake))

        return cls(
            timestamp=_moment(data.get("timestamp")) or datetime.now(UTC),
            timezone=data.get("timezone") or "UTC",
            schedule_id=get("scheduleId", "schedule_id") or "",
            last_timestamp=_moment(get("lastTimestamp", "last_timestamp")),
            type=data.get("type") or "DECLARATIVE",
            external_id=get("externalId", "external_id"),
            upcoming=[slot for slot in map(_moment, data.get("upcoming") or []) if slot],
        )


def _moment(value: Any) -> datetime | None:
    return value if value is None or isinstance(value, datetime) else times.parse_moment(str(value))


def task(*, cron: str | Cron, id: str | None = None, **options: Unpack[TaskOptions]) -> TaskDecorator:
    """Make a task that runs by the clock: "0 9 * * *" in UTC, or a Cron with a time zone.

    Raises TaskDefinitionError for a pattern or time zone that does not exist.
    """
    spec = Cron(cron) if isinstance(cron, str) else cron
    if not isinstance(spec, Cron):
        raise TaskDefinitionError(f"cron={cron!r}: use text such as '0 9 * * *', or schedules.Cron(...).")
    _check(spec)
    info: ScheduleInfo = {"cron": spec.pattern, "timezone": spec.timezone}
    if spec.environments is not None:
        info["environments"] = spec.environments
    return TaskDecorator(lambda function: Task(function, id, options, schedule=info))


def _check(cron: Cron) -> None:
    import zoneinfo

    from cronsim import CronSim, CronSimError

    try:
        zone = zoneinfo.ZoneInfo(cron.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise TaskDefinitionError(
            f"There is no time zone {cron.timezone!r}; use an IANA name such as 'Europe/Paris'."
        ) from None
    try:
        if len(cron.pattern.split()) != 5:
            raise CronSimError("it needs five fields: minute hour day month weekday")
        CronSim(cron.pattern, datetime.now(zone))
    except CronSimError as error:
        raise TaskDefinitionError(f"cron={cron.pattern!r} is no cron pattern: {error}.") from None


@dataclass(frozen=True)
class Schedule:
    """A schedule. `type` is DECLARATIVE (of a task's code) or IMPERATIVE."""

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


async def _all() -> AsyncIterator[Schedule]:
    page, last = 1, 1
    while page <= last:
        params = {"page": page, "perPage": _PER_PAGE}
        answer = (await http.request("GET", "/api/v1/schedules", params=params)).body
        for item in answer["data"]:
            yield Schedule.of(item)
        last = (answer.get("pagination") or {}).get("totalPages", 1)
        page += 1


def list() -> AsyncIterator[Schedule]:
    """List all schedules; pages are fetched while you iterate with `async for`."""
    return _all()


def _list_blocking() -> Iterator[Schedule]:
    """List all schedules; pages are fetched while you iterate."""
    refuse_loop("schedules.list")
    return drive_iterator(_all())


class _Sync:
    """The same calls for code without an event loop."""

    list = staticmethod(_list_blocking)


sync = _Sync()
