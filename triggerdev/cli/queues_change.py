"""`trigger queues pause|resume QUEUE...`."""

from typing import Annotated, Any

import typer

from triggerdev import errors
from triggerdev.cli import exit_codes, options, project
from triggerdev.cli.output import Output

_Names = Annotated[
    list[str], typer.Argument(metavar="QUEUE...", help="Names as `trigger queues` shows them, or ids.")
]


def pause(
    queues: _Names,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Give out no more runs of queues; those that execute go on."""
    _change("pause", queues, api_url, config, json)


def resume(
    queues: _Names,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Give out runs of queues again."""
    _change("resume", queues, api_url, config, json)


def _change(
    action: str, queues: list[str], api_url: options.ApiUrl, config: options.Config, json: bool
) -> None:
    from triggerdev.cli.api import Api
    from triggerdev.cli.queues_list import full_name

    out = Output(json)
    changed: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with Api(project.find_server(api_url, config)) as api:
        for queue in dict.fromkeys(queues):
            try:
                found = api.change_queue(queue, "pause", action=action)
            except errors.NotFoundError as error:
                failed.append({"queue": queue, "error": error.message})
                out.warn(f"{queue}: {error.message}; `trigger queues` lists them")
            else:
                changed.append(found)
                state = "paused" if found.get("paused") else "goes on"
                out.line(f"{full_name(found)} {state}, {found.get('queued', 0)} queued")
    out.result({"changed": changed, "failed": failed})
    if failed:
        raise typer.Exit(exit_codes.FAILED)
