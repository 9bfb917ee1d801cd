"""`trigger deployments get`."""

from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import deployments_shown as shown
from triggerdev.cli import options
from triggerdev.cli.deployments_shown import Env
from triggerdev.cli.output import Output

Version = Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Without it, the current one.")]


def get(
    version: Version = None,
    env: Env = "prod",
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show one version: its image, its layers, its tasks, and how to run it."""
    history = shown.find(config, env)
    current = history.current
    wanted = version or current
    if wanted is None:
        raise errors.UsageError(f"nothing was deployed to {env!r} yet; `trigger deploy` does it")
    found = history.get(wanted)
    out = Output(json)
    out.result({**found.as_json(), "current": found.version == current})
    state = ", current" if found.version == current else ""
    out.line(f"Version {found.version} ({env}{state})", "bold")
    out.fields([("created", found.created_at), ("key", found.key), *shown.summary(found)])
    out.line()
    out.table(("LAYER", "SIZE", "DIFF ID"), shown.layer_rows(found))
    out.line()
    for line in shown.how_to_run(found):
        out.line(line)
