"""`trigger schedules create TASK CRON`."""

from typing import Annotated, Any

import typer

from triggerdev.cli import options, project
from triggerdev.cli.output import Output


def create(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The id of a task of @schedules.task.")],
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Five fields, such as '0 9 * * 1-5'.")],
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="An IANA name, such as Europe/Paris.")
    ] = "UTC",
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="A deduplication key: changes the schedule that has it."),
    ] = None,
    external_id: Annotated[
        str | None, typer.Option("--external-id", metavar="ID", help="Comes with each run's payload.")
    ] = None,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Make a schedule for a task, or change the one that has the same key."""
    from triggerdev.cli.api import Api

    body: dict[str, Any] = {"task": task, "cron": cron, "timezone": timezone}
    if key is not None:
        body["deduplicationKey"] = key
    if external_id is not None:
        body["externalId"] = external_id
    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        made = api.create_schedule(body)
    out.result(made)
    out.line(str(made.get("id", "")))
    out.say(f"next run: {made.get('nextRun') or 'never'}")
