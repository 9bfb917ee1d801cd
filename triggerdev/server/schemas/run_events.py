"""What a run did: events, spans, traces."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from triggerdev.server.schemas.common import Wire
from triggerdev.server.schemas.runs import RunStatus


class EventItem(Wire):
    span_id: str
    parent_id: str | None
    run_id: str
    message: str
    start_time: str = Field(description="Nanoseconds since the epoch.")
    duration: int = Field(description="Nanoseconds.")
    is_error: bool
    is_partial: bool
    is_cancelled: bool
    level: Literal["TRACE", "DEBUG", "LOG", "INFO", "WARN", "ERROR"]
    kind: str
    task_slug: str
    attempt_number: int | None = None
    events: list[dict[str, Any]]
    style: dict[str, Any]
    properties: dict[str, Any] | None = None
    seq: int | None = Field(None, description="Of lines, as the three below: for `after`.")
    at: datetime | None = None
    attempt: int | None = None
    stream: Literal["stdout", "stderr", "log"] | None = None


class EventsAnswer(Wire):
    events: list[EventItem]
    is_completed: bool = Field(description="True when the run is final: with no events left, none will come.")


class SpanData(Wire):
    message: str
    task_slug: str | None = None
    start_time: datetime
    duration: int = Field(description="Nanoseconds.")
    is_error: bool
    is_partial: bool
    is_cancelled: bool
    level: str
    entity_type: str = Field(description="run, attempt, wait, trigger, step, user or auto.")
    events: list[dict[str, Any]]
    queue_name: str | None = None
    worker_version: str | None = None
    machine_preset: str | None = None
    properties: dict[str, Any] | None = None


class TreeSpan(Wire):
    id: str
    parent_id: str | None = None
    run_id: str
    data: SpanData
    children: list["TreeSpan"]


class Trace(Wire):
    trace_id: str
    root_span: TreeSpan
    is_truncated: bool = Field(description="There are more than 10,000 spans or 1,000 runs.")


class TraceAnswer(Wire):
    trace: Trace


class TriggeredRun(Wire):
    run_id: str
    task_identifier: str
    status: RunStatus
    created_at: datetime


class SpanAnswer(Wire):
    span_id: str
    parent_id: str | None
    run_id: str
    message: str
    is_error: bool
    is_partial: bool
    is_cancelled: bool
    level: str
    start_time: datetime
    duration_ms: float
    entity_type: str
    properties: dict[str, Any] | None = None
    events: list[dict[str, Any]] | None = None
    triggered_runs: list[TriggeredRun] | None = None
