"""`trigger env unset NAME...`."""

from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import exit_codes, options, project
from triggerdev.cli.output import Output


def unset(
    names: Annotated[list[str], typer.Argument(metavar="NAME...")],
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Delete environment variables that the server keeps for tasks."""
    from triggerdev.cli.api import Api

    out = Output(json)
    ref = project.find_ref(config)
    deleted: list[str] = []
    failed: list[dict[str, str]] = []
    with Api(project.find_server(api_url, config)) as api:
        for name in dict.fromkeys(names):
            try:
                api.delete_variable(ref, name)
            except errors.NotFoundError as error:
                failed.append({"name": name, "error": error.message})
                out.warn(f"{name}: {error.message}")
            else:
                deleted.append(name)
                out.line(name)
    out.result({"deleted": deleted, "failed": failed})
    if failed:
        raise typer.Exit(exit_codes.FAILED)
