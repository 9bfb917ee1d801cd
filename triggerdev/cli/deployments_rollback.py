"""`trigger deployments rollback`."""

from datetime import UTC, datetime

from triggerdev.cli import deployments_shown as shown
from triggerdev.cli import options
from triggerdev.cli.deployments_shown import Env
from triggerdev.cli.output import Output


def rollback(env: Env = "prod", config: options.Config = None, json: options.Json = False) -> None:
    """Make the version current that was so before: the newest one older than the current one."""
    history = shown.find(config, env)
    with history.locked():
        before = history.current
        version = history.before_current()
        history.promote(version, datetime.now(UTC))
    shown.print_promotion(Output(json), history.get(version), before)
