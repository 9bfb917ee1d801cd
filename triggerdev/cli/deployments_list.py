"""`trigger deployments list`."""

from triggerdev.cli import deployments_shown as shown
from triggerdev.cli import options
from triggerdev.cli.deployments_shown import Env
from triggerdev.cli.output import Output


def list_deployments(env: Env = "prod", config: options.Config = None, json: options.Json = False) -> None:
    """List the versions that were deployed from this machine, newest first."""
    history = shown.find(config, env)
    out = Output(json)
    found, current = history.all(), history.current
    out.result(
        {
            "environment": env,
            "current": current,
            "deployments": [{**each.as_json(), "current": each.version == current} for each in found],
        }
    )
    if not found:
        out.say(f"nothing was deployed to {env!r} yet; `trigger deploy` does it")
        return
    out.table(
        ("", "VERSION", "CREATED", "IMAGE", "DIGEST", "TASKS"),
        [shown.row(each, each.version == current) for each in found],
    )
