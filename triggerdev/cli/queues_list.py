"""`trigger queues list`, or just `trigger queues`."""

from typing import Any

from triggerdev.cli import options, project
from triggerdev.cli.output import Output

_COLUMNS = ("QUEUE", "RUNNING", "QUEUED", "LIMIT", "PAUSED")


def list_queues(
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List queues: how many runs execute and wait, how many may execute, and whether it is paused."""
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        queues, environment = api.queues()
    out.result({"queues": queues, "environment": environment})
    if not queues:
        out.say("no queues: they come with the first tasks")
        return
    out.table(_COLUMNS, [row(queue) for queue in queues])
    out.line(total(environment), "dim")


def row(queue: dict[str, Any]) -> tuple[str, ...]:
    """Return a queue's cells for a table; an overridden limit is followed by the declared one."""
    limits = queue.get("concurrency") or {}
    limit = _limit(queue.get("concurrencyLimit"))
    if limits.get("override") is not None:
        limit += f" (declared: {_limit(limits.get('base'))})"
    return (
        full_name(queue),
        str(queue.get("running", "")),
        str(queue.get("queued", "")),
        limit,
        "paused" if queue.get("paused") else "",
    )


def full_name(queue: dict[str, Any]) -> str:
    """Name a queue as commands take it."""
    name = str(queue.get("name", ""))
    return f"task/{name}" if queue.get("type") == "task" else name


def total(environment: dict[str, Any]) -> str:
    """Say what all queues have together."""
    limit = environment.get("concurrencyLimit")
    most = "" if limit is None else f" of {limit}"
    return f"all: {environment.get('running', 0)}{most} running, {environment.get('queued', 0)} queued"


def _limit(value: Any) -> str:
    return "-" if value is None else str(value)
