"""`batch`: runs of several tasks in one call, and looking at batches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from triggerdev.sdk import http, times, triggering
from triggerdev.sdk.calls import operation
from triggerdev.sdk.results import BatchHandle, BatchResult

__all__ = [
    "Batch",
    "retrieve",
    "sync",
    "trigger",
    "trigger_and_wait",
    "trigger_by_task",
    "trigger_by_task_and_wait",
]


@dataclass(frozen=True)
class Batch:
    """A batch. `status`: PENDING, PROCESSING, COMPLETED (every run has ended), PARTIAL_FAILED, ABORTED."""

    id: str
    status: str
    run_count: int
    created_at: datetime
    updated_at: datetime
    runs: list[str] = field(default_factory=list)
    idempotency_key: str | Sequence[str] | None = None
    completed_at: datetime | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_completed(self) -> bool:
        return self.status in ("COMPLETED", "PARTIAL_FAILED", "ABORTED")


@operation("batch.trigger")
async def trigger(
    items: Iterable[Mapping[str, Any]],
    *,
    idempotency_key: str | Sequence[str] | None = None,
    idempotency_key_ttl: str | None = None,
) -> BatchHandle:
    """Start a run for each item {"id": task, "payload": ..., "options": {...}} (at most 1,000) and go on."""
    return await triggering.batch_trigger(
        triggering.read_items(items, None), idempotency_key, idempotency_key_ttl
    )


@operation("batch.trigger_and_wait")
async def trigger_and_wait(
    items: Iterable[Mapping[str, Any]],
    *,
    idempotency_key: str | Sequence[str] | None = None,
    idempotency_key_ttl: str | None = None,
) -> BatchResult[Any]:
    """Start a run for each item and wait until all have ended; only inside a run."""
    read = triggering.read_items(items, None)
    return await triggering.batch_trigger_and_wait(read, idempotency_key, idempotency_key_ttl)


@operation("batch.trigger_by_task")
async def trigger_by_task(
    items: Iterable[Mapping[str, Any]],
    *,
    idempotency_key: str | None = None,
    idempotency_key_ttl: str | None = None,
) -> BatchHandle:
    """Start a run for each item {"task": my_task, "payload": ..., "options": {...}} and go on."""
    return await triggering.batch_trigger(
        triggering.read_items(items, None), idempotency_key, idempotency_key_ttl
    )


@operation("batch.trigger_by_task_and_wait")
async def trigger_by_task_and_wait(
    items: Iterable[Mapping[str, Any]],
    *,
    idempotency_key: str | None = None,
    idempotency_key_ttl: str | None = None,
) -> BatchResult[Any]:
    """Start a run for each item {"task": my_task, ...} and wait until all have ended; only inside a run."""
    read = triggering.read_items(items, None)
    return await triggering.batch_trigger_and_wait(read, idempotency_key, idempotency_key_ttl)


@operation("batch.retrieve")
async def retrieve(batch: str | BatchHandle) -> Batch:
    """Look at a batch, given by id or handle. Raises NotFoundError."""
    batch_id = batch if isinstance(batch, str) else batch.batch_id
    answer = (await http.request("GET", f"/api/v2/batches/{quote(batch_id, safe='')}")).body
    processing = answer.get("processing") or {}
    return Batch(
        id=answer["id"],
        status=answer["status"],
        run_count=answer["runCount"],
        created_at=times.require_moment(answer["createdAt"]),
        updated_at=times.require_moment(answer["updatedAt"]),
        runs=list(answer.get("runs") or []),
        idempotency_key=answer.get("idempotencyKey"),
        completed_at=times.parse_moment(processing.get("completedAt")),
        errors=list(processing.get("errors") or []),
    )


class _Sync:
    """The same calls for code without an event loop."""

    trigger = staticmethod(trigger.blocking)
    trigger_and_wait = staticmethod(trigger_and_wait.blocking)
    trigger_by_task = staticmethod(trigger_by_task.blocking)
    trigger_by_task_and_wait = staticmethod(trigger_by_task_and_wait.blocking)
    retrieve = staticmethod(retrieve.blocking)


sync = _Sync()
