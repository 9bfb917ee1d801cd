"""`trigger schedules activate|deactivate|delete SCHEDULE...`."""

from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import exit_codes, options, project
from triggerdev.cli.output import Output

_Ids = Annotated[list[str], typer.Argument(metavar="SCHEDULE...", help="Ids of schedules (sched_...).")]


def activate(
    schedules: _Ids,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Let schedules run again, from their next slot on."""
    _change("activate", schedules, api_url, config, json)


def deactivate(
    schedules: _Ids,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Let schedules rest: they keep their slots and run nothing."""
    _change("deactivate", schedules, api_url, config, json)


def delete(
    schedules: _Ids,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Delete schedules that calls have made; those of tasks' code go when it changes."""
    _change("delete", schedules, api_url, config, json)


def _change(
    action: str, schedules: list[str], api_url: options.ApiUrl, config: options.Config, json: bool
) -> None:
    from triggerdev.cli.api import Api

    out = Output(json)
    changed: list[str] = []
    failed: list[dict[str, str]] = []
    with Api(project.find_server(api_url, config)) as api:
        for schedule in dict.fromkeys(schedules):
            try:
                api.change_schedule(schedule, action)
            except (errors.NotFoundError, errors.UnprocessableEntityError) as error:
                failed.append({"id": schedule, "error": error.message})
                out.warn(f"{schedule}: {error.message}")
            else:
                changed.append(schedule)
                out.line(schedule)
    out.result({"changed": changed, "failed": failed})
    if failed:
        raise typer.Exit(exit_codes.FAILED)
