"""`trigger env get NAME`."""

from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import options, project
from triggerdev.cli.output import Output


def get(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Print the value of an environment variable; that of a secret one is not shown."""
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        found = api.variable(project.find_ref(config), name)
    out.result(found)
    if json:
        return
    if found.get("isSecret"):
        raise errors.UsageError(f"{name} is secret: its value is for tasks alone.")
    out.text(str(found.get("value", "")))
