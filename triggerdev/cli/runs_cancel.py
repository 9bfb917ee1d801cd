"""`trigger runs cancel RUN...`."""

from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import exit_codes, options, project
from triggerdev.cli.output import Output


def cancel(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")],
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Cancel runs and their children; a run that has ended already stays as it is."""
    from triggerdev.cli.api import Api

    out = Output(json)
    canceled: list[str] = []
    failed: list[dict[str, str]] = []
    with Api(project.find_server(api_url, config)) as api:
        for run in dict.fromkeys(runs):
            try:
                api.cancel(run)
            except (errors.NotFoundError, errors.UnprocessableEntityError, errors.ConflictError) as error:
                failed.append({"id": run, "error": error.message})
                out.warn(f"{run}: {error.message}")
            else:
                canceled.append(run)
                out.line(run)
    out.result({"canceled": canceled, "failed": failed})
    if failed:
        raise typer.Exit(exit_codes.FAILED)
