"""Runs as rows of Electric's shape protocol: every value is PostgreSQL's text of it, or null."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from triggerdev import _json
from triggerdev.engine.model import Run
from triggerdev.server.present import cents, exchanged_error, short_duration

Json = dict[str, Any]
RESERVED = frozenset({"id", "taskIdentifier", "friendlyId", "status", "createdAt"})
UP_TO_DATE: Json = {"headers": {"control": "up-to-date"}}
_LAST_MS = 253_402_300_799_999
_TEXT: Json = {"type": "text"}
_TEXTS: Json = {"type": "text", "dims": 1}
_TIME: Json = {"type": "timestamp"}
_WHOLE: Json = {"type": "int4"}
_NUMBER: Json = {"type": "float8"}
COLUMNS: dict[str, Json] = {
    "id": _TEXT,
    "taskIdentifier": _TEXT,
    "createdAt": _TIME,
    "updatedAt": _TIME,
    "startedAt": _TIME,
    "delayUntil": _TIME,
    "queuedAt": _TIME,
    "expiredAt": _TIME,
    "completedAt": _TIME,
    "friendlyId": _TEXT,
    "number": _WHOLE,
    "isTest": {"type": "bool"},
    "status": _TEXT,
    "usageDurationMs": _WHOLE,
    "costInCents": _NUMBER,
    "baseCostInCents": _NUMBER,
    "ttl": _TEXT,
    "payload": _TEXT,
    "payloadType": _TEXT,
    "metadata": _TEXT,
    "metadataType": _TEXT,
    "output": _TEXT,
    "outputType": _TEXT,
    "runTags": _TEXTS,
    "error": {"type": "jsonb"},
    "realtimeStreams": _TEXTS,
}


def schema(skipped: Collection[str]) -> str:
    """Give the value of the `electric-schema` header."""
    return _json.dumps({name: kind for name, kind in COLUMNS.items() if name not in skipped})


def message(run: Run, operation: str, skipped: Collection[str]) -> Json:
    """Give the message that a run is there (`insert`), or has changed (`update`)."""
    values = {name: value for name, value in _row(run).items() if name not in skipped}
    key = f'"public"."TaskRun"/"{run.id}"'
    return {"key": key, "value": values, "headers": {"operation": operation}}


def _row(run: Run) -> Json:
    return {
        "id": run.id,
        "taskIdentifier": run.task,
        "createdAt": _time(run.created_at),
        "updatedAt": _time(run.updated_at),
        "startedAt": _time(run.started_at),
        "delayUntil": _time(run.delayed_until),
        "queuedAt": _time(run.queued_at),
        "expiredAt": _time(run.expired_at),
        "completedAt": _time(run.finished_at),
        "friendlyId": run.id,
        "number": "0",
        "isTest": "t" if run.is_test else "f",
        "status": run.status.value,
        "usageDurationMs": str(run.usage_ms),
        "costInCents": str(cents(run.cost)),
        "baseCostInCents": str(cents(run.base_cost)),
        "ttl": short_duration(run.ttl_ms) if run.ttl_ms else None,
        "payload": run.payload,
        "payloadType": run.payload_type,
        "metadata": None if run.metadata is None else _json.dumps(run.metadata),
        "metadataType": "application/json",
        "output": run.output,
        "outputType": run.output_type,
        "runTags": _array(run.tags) if run.tags else None,
        "error": None if run.error is None else _json.dumps(exchanged_error(run.error)),
        "realtimeStreams": "{}",
    }


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    moment = datetime.fromtimestamp(min(ms, _LAST_MS) / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}"


def _array(texts: list[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
