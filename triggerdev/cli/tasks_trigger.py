"""`trigger tasks trigger ID`, and its short form `trigger run ID`."""

import hashlib
import os
import re
from typing import Annotated, Any

import typer

from triggerdev import errors
from triggerdev.cli import exit_codes, options, project
from triggerdev.cli.output import Output
from triggerdev.cli.payload import parse_json, read_payload

_HASHED_KEY = re.compile(r"[0-9a-f]{64}")

Task = Annotated[str, typer.Argument(metavar="ID", help="The task's id.")]
Payload = Annotated[str | None, typer.Option("--payload", "-p", metavar="JSON")]
PayloadFile = Annotated[
    str | None, typer.Option("--payload-file", metavar="FILE", help="Read the payload; - is stdin.")
]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end and print the output.")]
Timeout = Annotated[str | None, typer.Option(metavar="TIME", help="Wait at most this long: 30, 90s, 5m.")]
Delay = Annotated[str | None, typer.Option(metavar="TIME", help="Start later: 30s, 2h30m, or an ISO date.")]
Ttl = Annotated[str | None, typer.Option(metavar="TIME", help="Expire if it has not started by then.")]
MaxDuration = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Of compute time, for each attempt.")
]
IdempotencyKey = Annotated[str | None, typer.Option(metavar="KEY", help="The same key gives the same run.")]


def trigger(
    task: Task,
    payload: Payload = None,
    payload_file: PayloadFile = None,
    wait: Wait = False,
    timeout: Timeout = None,
    delay: Delay = None,
    ttl: Ttl = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Repeatable.")] = None,
    queue: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    concurrency_key: Annotated[str | None, typer.Option(metavar="KEY")] = None,
    priority: Annotated[float | None, typer.Option(metavar="SECONDS", help="Head start over others.")] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, metavar="N")] = None,
    max_duration: MaxDuration = None,
    machine: Annotated[str | None, typer.Option(metavar="PRESET", help="Such as small-1x.")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="An object.")] = None,
    idempotency_key: IdempotencyKey = None,
    idempotency_key_ttl: Annotated[str | None, typer.Option(metavar="TIME")] = None,
    test: Annotated[bool, typer.Option("--test", help="Mark it as a test run.")] = False,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Trigger a task; with --wait print its output, and exit 1 if the run did not complete successfully."""
    from triggerdev.cli.waiting import parse_timeout

    timeout_s = parse_timeout(timeout)
    body = _body(read_payload(payload, payload_file))
    wire = {
        "delay": delay,
        "ttl": ttl,
        "tags": tag or None,
        "queue": {"name": queue} if queue else None,
        "concurrencyKey": concurrency_key,
        "priority": priority,
        "maxAttempts": max_attempts,
        "maxDuration": max_duration,
        "machine": machine,
        "metadata": _metadata(metadata),
        "idempotencyKeyTTL": idempotency_key_ttl,
        "test": test or None,
        **_idempotency(idempotency_key),
    }
    body["options"].update({name: value for name, value in wire.items() if value is not None})
    server = project.find_server(api_url, config)
    if wait or timeout is not None:
        _send_and_wait(
            Output(json), server, task, body, timeout_s, os.fspath(project.find_root(config) or "")
        )
    else:
        _send(Output(json), server, task, body)


def _send(out: Output, server: project.Server, task: str, body: dict[str, Any]) -> None:
    from triggerdev.cli.api import Api

    with Api(server) as api:
        started = api.trigger(task, body)
    out.line(str(started.get("id")))
    out.result(started)
    cached = " already exists for this idempotency key" if started.get("isCached") else " is triggered"
    out.say(f"{task}{cached}; `trigger runs get {started.get('id')}` shows the run.")


def _send_and_wait(
    out: Output, server: project.Server, task: str, body: dict[str, Any], timeout_s: float | None, root: str
) -> None:
    from triggerdev.cli.api import Api
    from triggerdev.cli.waiting import show_end, wait_for_run

    with Api(server) as api:
        run = str(api.trigger(task, body).get("id"))
        try:
            ended = api.filled(wait_for_run(api, run, timeout_s))
        except KeyboardInterrupt:
            out.say(f"{run} goes on: `trigger runs get {run}` shows it, `trigger runs cancel {run}` ends it.")
            raise
    if not show_end(out, ended, root):
        raise typer.Exit(exit_codes.FAILED)


def _body(payload: str | None) -> dict[str, Any]:
    if payload is None:
        return {"options": {}}
    return {"payload": payload, "options": {"payloadType": "application/json"}}


def _metadata(text: str | None) -> Any:
    if text is None:
        return None
    value = parse_json(text, "--metadata")
    if not isinstance(value, dict):
        raise errors.PayloadError('--metadata must be a JSON object, such as \'{"source": "shell"}\'.')
    return value


def _idempotency(key: str | None) -> dict[str, Any]:
    """Hash the key as the clients do, so that the shell and code mean the same run by the same key."""
    if key is None or _HASHED_KEY.fullmatch(key):
        return {"idempotencyKey": key}
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return {"idempotencyKey": digest, "idempotencyKeyOptions": {"key": key, "scope": "run"}}
