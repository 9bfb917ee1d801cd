"""Runs: described, listed, changed."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from triggerdev.server.schemas.common import Cursors, Strict, Wire

RunStatus = Literal[
    "PENDING_VERSION", "QUEUED", "DEQUEUED", "EXECUTING", "WAITING", "COMPLETED", "CANCELED", "FAILED",
    "CRASHED", "SYSTEM_FAILURE", "DELAYED", "EXPIRED", "TIMED_OUT",
]  # fmt: skip


class CommonRun(Wire):
    id: str
    status: RunStatus
    task_identifier: str
    idempotency_key: str | None = None
    version: str | None = None
    is_queued: bool
    is_executing: bool
    is_waiting: bool
    is_completed: bool
    is_success: bool
    is_failed: bool
    is_cancelled: bool
    is_test: bool
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    delayed_until: datetime | None = None
    ttl: str | None = None
    expired_at: datetime | None = None
    tags: list[str]
    cost_in_cents: float
    base_cost_in_cents: float
    duration_ms: int
    metadata: dict[str, Any] | None = None


class RelatedRun(CommonRun):
    depth: int
    trigger_function: Literal["triggerAndWait", "trigger", "batchTriggerAndWait", "batchTrigger"]
    batch_id: str | None = None


class RunErrorAnswer(Wire):
    message: str
    name: str | None = None
    stack_trace: str | None = None


class RelatedRuns(Wire):
    root: RelatedRun | None = None
    parent: RelatedRun | None = None
    children: list[RelatedRun] | None = None


class RunAnswer(RelatedRun):
    payload: Any = None
    payload_presigned_url: str | None = Field(None, description="Instead of `payload`, if it is large.")
    output: Any = Field(None, description="Only of a completed run.")
    output_presigned_url: str | None = Field(None, description="Instead of `output`, if it is large.")
    error: RunErrorAnswer | None = None
    schedule: dict[str, Any] | None = None
    related_runs: RelatedRuns
    attempt_count: int
    rev: int = Field(description="Grows with every change of the run; for `since`.")
    machine: str = Field(description="The preset of its last attempt.")
    peak_memory_bytes: int | None = Field(
        None, description="What it used at most, where it had a process to itself."
    )


class RunEnvironment(Wire):
    id: str
    name: str


class RunItem(CommonRun):
    env: RunEnvironment


class RunPage(Wire):
    data: list[RunItem]
    pagination: Cursors


class ResultAnswer(Wire):
    ok: bool
    id: str
    task_identifier: str
    output: str | None = None
    output_type: str | None = None
    error: dict[str, Any] | None = None


class ReplayBody(Strict):
    payload: Any = None
    payload_type: Literal["application/json", "application/super+json", "text/plain"] | None = None
    metadata: dict[str, Any] | None = None
    tags: str | list[str] | None = None
    queue: str | None = None
    concurrency_key: str | None = None
    machine: str | None = None
    version: str | None = None
    region: str | None = None
    delay: str | None = None
    ttl: str | float | None = None
    idempotency_key: str | None = Field(None, max_length=2048)
    idempotency_key_ttl: str | None = Field(None, alias="idempotencyKeyTTL")
    max_attempts: int | None = None
    max_duration: float | None = None
    priority: float | None = None


class RescheduleBody(Wire):
    delay: str = Field(description='A duration ("2h30m") or an ISO date.')


class TagsBody(Wire):
    tags: str | list[str]


class ResetKeyBody(Wire):
    task_identifier: str = Field(min_length=1, max_length=512)


class MetadataBody(Wire):
    metadata: dict[str, Any] | None = None
    operations: list[dict[str, Any]] | None = None
    parent_operations: list[dict[str, Any]] | None = None
    root_operations: list[dict[str, Any]] | None = None


class MetadataAnswer(Wire):
    metadata: dict[str, Any]
