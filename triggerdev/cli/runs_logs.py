"""`trigger runs logs RUN`."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triggerdev import _durations
from triggerdev.cli import options, project
from triggerdev.cli.output import Output

if TYPE_CHECKING:
    from triggerdev.cli.api import Api


def logs(
    run: options.RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.JsonLines = False,
) -> None:
    """Print what a run wrote: its stdout, stderr and log lines."""
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        if json and not follow:
            out.result({"run": run, "events": list(_events(api, run, follow=False))})
            return
        for event in _events(api, run, follow):
            if json:
                out.object(event)
            else:
                out.line(_line(event))
                out.flush()


def _events(api: "Api", run: str, follow: bool) -> Iterator[dict[str, Any]]:
    """Iterate over all that is written so far, or until the run has ended and nothing is left to come."""
    from triggerdev.cli.api import LONG_POLL_S

    after = 0
    while True:
        batch, has_ended = api.events(run, after, LONG_POLL_S if follow else 0)
        for event in batch:
            after = max(after, int(event.get("seq") or 0))
            yield event
        if not batch and (has_ended or not follow):
            return


def _line(event: dict[str, Any]) -> str:
    from triggerdev._terminal import json_text

    at = event.get("at")
    ms = at if isinstance(at, int) else _durations.parse_instant_ms(str(at)) or 0
    clock = time.strftime("%H:%M:%S", time.localtime(ms / 1000))
    level, stream = str(event.get("level") or "").lower(), event.get("stream")
    label = f"{level}: " if stream == "log" and level not in ("", "info", "log") else ""
    mark = "!" if stream == "stderr" else "|"
    data = f" {json_text(event['properties'])}" if event.get("properties") else ""
    return (
        f"{clock}.{ms % 1000:03d}  #{event.get('attempt', 1)}  {mark} {label}{event.get('message', '')}{data}"
    )
