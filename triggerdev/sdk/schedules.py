"""`schedules`: tasks that run by the clock."""

import builtins
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Unpack

from triggerdev.errors import TaskDefinitionError
from triggerdev.protocol import ScheduleInfo
from triggerdev.sdk import times
from triggerdev.sdk.schedule_calls import (
    Schedule,
    activate,
    create,
    deactivate,
    delete,
    list,
    list_blocking,
    retrieve,
    timezones,
    update,
)
from triggerdev.sdk.task import Task, TaskDecorator, TaskOptions

__all__ = [
    "Cron",
    "Payload",
    "Schedule",
    "activate",
    "create",
    "deactivate",
    "delete",
    "list",
    "retrieve",
    "sync",
    "task",
    "timezones",
    "update",
]


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


def task(
    *, cron: str | Cron | None = None, id: str | None = None, **options: Unpack[TaskOptions]
) -> TaskDecorator:
    """Make a task that runs by the clock: "0 9 * * *" in UTC, or a Cron with a time zone.

    Without `cron` it runs by the schedules that `schedules.create` makes for it; both is possible, too.
    Raises TaskDefinitionError for a pattern or time zone that does not exist.
    """
    if cron is None:
        return TaskDecorator(lambda function: Task(function, id, options, is_scheduled=True))
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


class _Sync:
    """The same calls for code without an event loop."""

    create = staticmethod(create.blocking)
    update = staticmethod(update.blocking)
    activate = staticmethod(activate.blocking)
    deactivate = staticmethod(deactivate.blocking)
    delete = staticmethod(delete.blocking)
    retrieve = staticmethod(retrieve.blocking)
    timezones = staticmethod(timezones.blocking)
    list = staticmethod(list_blocking)


sync = _Sync()
