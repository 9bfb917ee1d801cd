"""`trigger env list`, or just `trigger env`."""

from typing import Annotated

import typer

from triggerdev.cli import options, project
from triggerdev.cli.output import Output

_HIDDEN = "(hidden)"


def list_variables(
    show: Annotated[
        bool, typer.Option("--show", help="Show values, too; those of secret variables never.")
    ] = False,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List the environment variables that the server keeps for tasks."""
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        found = api.variables(project.find_ref(config))
    if not show:
        found = [{**variable, "value": None} for variable in found]
    out.result({"variables": found})
    if not found:
        out.say("no variables: `trigger env set NAME` keeps one")
        return
    rows = [
        (str(item["name"]), str(item["value"]) if show else _HIDDEN, "secret" if item.get("isSecret") else "")
        for item in found
    ]
    out.table(("NAME", "VALUE", ""), rows)
