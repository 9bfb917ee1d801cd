"""`trigger schedules list`, or just `trigger schedules`."""

import time
from typing import Any

from triggerdev import _durations
from triggerdev.cli import options, project
from triggerdev.cli.output import Output

_COLUMNS = ("SCHEDULE", "TASK", "CRON", "TIME ZONE", "NEXT RUN", "KIND", "EXTERNAL ID", "KEY")


def list_schedules(
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List schedules: those of tasks' code (declarative), and those that calls have made."""
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        schedules = list(api.schedules())
    out.result({"schedules": schedules})
    if schedules:
        out.table(_COLUMNS, [row(schedule) for schedule in schedules])
    else:
        out.say("no schedules: give a task `cron`, or use `trigger schedules create`")


def row(schedule: dict[str, Any]) -> tuple[str, ...]:
    """Return a schedule's cells for a table; its next run is in local time."""
    at = _durations.parse_instant_ms(str(schedule.get("nextRun")))
    due = "never" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at / 1000))
    return (
        str(schedule.get("id", "")),
        str(schedule.get("task", "")),
        str((schedule.get("generator") or {}).get("expression", "")),
        str(schedule.get("timezone", "")),
        due if schedule.get("active") else "inactive",
        str(schedule.get("type", "")).lower(),
        str(schedule.get("externalId") or ""),
        str(schedule.get("deduplicationKey") or ""),
    )
