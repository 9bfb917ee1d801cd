"""`trigger runs get RUN`."""

import os
from typing import Any

from triggerdev.cli import options, project
from triggerdev.cli.output import Output


def get(
    run: options.RunId,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show one run: its status, times, payload, output or error, and its relatives."""
    from triggerdev._terminal import error_lines
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        found = api.filled(api.run(run))
    out.result(found)
    if json:
        return
    out.fields(_fields(found))
    if isinstance(found.get("error"), dict):
        out.line()
        out.block(error_lines(found["error"], os.fspath(project.find_root(config) or "")), indent="")


def _fields(run: dict[str, Any]) -> list[tuple[str, str | None]]:
    from triggerdev.cli.waiting import took

    related = run.get("relatedRuns") or {}
    attempts, tags = run.get("attemptCount"), run.get("tags") or []
    pairs: list[tuple[str, Any]] = [
        ("run", run.get("id")),
        ("task", run.get("taskIdentifier")),
        ("status", str(run.get("status", "")).lower().replace("_", " ")),
        ("attempts", attempts),
        ("created", run.get("createdAt")),
        ("delayed until", run.get("delayedUntil")),
        ("started", run.get("startedAt")),
        ("finished", run.get("finishedAt")),
        ("took", took(run) if run.get("isCompleted") else None),
        ("version", run.get("version")),
        ("machine", run.get("machine")),
        ("peak memory", _megabytes(run.get("peakMemoryBytes"))),
        ("tags", ", ".join(str(tag) for tag in tags)),
        ("idempotency key", run.get("idempotencyKey")),
        ("parent", (related.get("parent") or {}).get("id")),
        ("children", ", ".join(str(child.get("id")) for child in related.get("children") or [])),
        *((name, _json(run, name)) for name in ("metadata", "payload", "output")),
    ]
    return [(name, None if value is None else str(value)) for name, value in pairs]


def _megabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 2**20:,.1f} MB"


def _json(run: dict[str, Any], name: str) -> str | None:
    from triggerdev._terminal import json_text

    return json_text(run[name]) if run.get(name) not in (None, {}) else None
