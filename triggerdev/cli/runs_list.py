"""`trigger runs list`."""

import time
from typing import Annotated, Any

import typer

from triggerdev import _durations, errors
from triggerdev.cli import options, project
from triggerdev.cli.output import Output

_COLUMNS = ("RUN", "TASK", "STATUS", "CREATED", "TOOK", "TAGS")


def list_runs(
    status: Annotated[
        list[str] | None, typer.Option("--status", "-s", help="Such as failed, executing; repeatable.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option("--task", "-t", help="Repeatable.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Repeatable.")] = None,
    queue: Annotated[list[str] | None, typer.Option("--queue", help="Repeatable.")] = None,
    version: Annotated[
        list[str] | None, typer.Option("--version", help="That executed it; repeatable.")
    ] = None,
    machine: Annotated[list[str] | None, typer.Option("--machine", help="A preset; repeatable.")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Runs of this batch.")] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="Runs of this schedule.")] = None,
    test: Annotated[
        bool | None, typer.Option("--test/--no-test", help="Test runs only, or none of them.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Created within 1h, 2d, or after an ISO date.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Created 1h, 2d ago, or before an ISO date.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 25,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List runs, newest first."""
    from triggerdev.cli.api import Api

    filters = {
        "filter[status]": ",".join(_status(each) for each in status or []),
        "filter[taskIdentifier]": ",".join(task or []),
        "filter[tag]": ",".join(tag or []),
        "filter[queue]": ",".join(queue or []),
        "filter[version]": ",".join(version or []),
        "filter[machine]": ",".join(machine or []),
        "filter[batch]": batch or "",
        "filter[schedule]": schedule or "",
        "filter[isTest]": "" if test is None else str(test).lower(),
        "filter[createdAt][from]": str(_time_ms("--since", since)) if since else "",
        "filter[createdAt][to]": str(_time_ms("--until", until)) if until else "",
    }
    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        runs = list(api.runs({name: value for name, value in filters.items() if value}, limit))
    out.result({"runs": runs})
    if runs:
        out.table(_COLUMNS, [_row(run) for run in runs])
    else:
        out.say("no runs" + (" that match" if any(filters.values()) else " yet"))


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    from triggerdev.cli.waiting import took

    return (
        str(run.get("id", "")),
        str(run.get("taskIdentifier", "")),
        str(run.get("status", "")).lower().replace("_", " "),
        _when(run.get("createdAt")),
        took(run) if run.get("isCompleted") else "",
        ", ".join(str(tag) for tag in run.get("tags") or []),
    )


def _when(text: Any) -> str:
    ms = _durations.parse_instant_ms(str(text))
    return "" if ms is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))


def _status(text: str) -> str:
    import difflib

    from triggerdev.engine.model import Status

    names = sorted({status.public_name for status in Status})
    name = text.strip().upper().replace(" ", "_").replace("-", "_").replace("CANCELLED", "CANCELED")
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    hint = f" Did you mean {near[0].lower()}?" if near else ""
    raise errors.UsageError(f"--status {text!r} is none of {', '.join(names).lower()}.{hint}")


def _time_ms(option: str, text: str) -> int:
    ago = _durations.parse_duration_ms(text)
    if ago is not None:
        return int(time.time() * 1000) - ago
    moment = _durations.parse_instant_ms(text)
    if moment is None:
        raise errors.UsageError(
            f"{option} {text!r}: give a duration such as 30m, 2d, or a date as 2025-01-31."
        )
    return moment
