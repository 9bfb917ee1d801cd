"""`trigger deployments promote`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from triggerdev.cli import deployments_shown as shown
from triggerdev.cli import options
from triggerdev.cli.deployments_shown import Env
from triggerdev.cli.output import Output

Version = Annotated[str, typer.Argument(metavar="VERSION", help="Such as 20261127.1.")]


def promote(
    version: Version,
    env: Env = "prod",
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Make a version current."""
    history = shown.find(config, env)
    with history.locked():
        before = history.current
        changed = history.promote(version, datetime.now(UTC))
    shown.print_promotion(Output(json), history.get(version), before if changed else version)
