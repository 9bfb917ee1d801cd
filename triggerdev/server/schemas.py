"""Bodies and answers as pydantic models: for the OpenAPI page, and to validate bodies that are not hot."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from triggerdev.engine.commands.queues import MOST


class Wire(BaseModel):
    """camelCase on the wire; unknown fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class Strict(Wire):
    """A body in which an unknown field is a mistake."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid"
    )


class ErrorAnswer(Wire):
    error: str = Field(examples=["Run not found"])


class ShapeMessage(Wire):
    """A row with an operation, or a control message."""

    key: str | None = None
    value: dict[str, str | None] | None = Field(None, description="PostgreSQL's text of each column.")
    headers: dict[str, str]


class ShapeAnswer(RootModel[list[ShapeMessage]]):
    """Rows, and an up-to-date message; handle and offset of the next request are in `electric-*` headers."""


# -- triggers --------------------------------------------------------------------------------------------
class QueueOption(Wire):
    name: str
    concurrency_limit: int | None = Field(
        None, description="Makes the queue if there is none, and changes its limit for all runs in it."
    )


class DebounceOption(Wire):
    key: str = Field(description="One run for each task and key, as long as it is delayed.", max_length=512)
    delay: str = Field(description='How long nothing must come before it starts ("5s"); a second at least.')
    mode: Literal["leading", "trailing"] = Field("leading", description="Whose payload it has.")
    max_delay: str | None = Field(None, description="It is put off no longer than that.")


class TriggerOptionsBody(Wire):
    payload_type: str | None = Field(
        None, description="application/json, application/super+json, text/plain or application/store."
    )
    delay: str | None = Field(None, description='A duration ("2h30m") or an ISO date.')
    ttl: str | float | None = Field(
        None, description="Duration or seconds until a run that was not started expires."
    )
    priority: float | None = Field(None, description="Seconds of head start in the queue.")
    tags: str | list[str] | None = Field(None, description="At most 10 of at most 128 characters.")
    metadata: dict[str, Any] | None = None
    queue: QueueOption | None = None
    concurrency_key: str | None = None
    idempotency_key: str | None = Field(None, max_length=2048)
    idempotency_key_ttl: str | None = Field(None, alias="idempotencyKeyTTL")
    machine: str | None = None
    max_attempts: int | None = None
    max_duration: float | None = Field(None, description="Seconds of running; waiting does not count.")
    test: bool | None = None
    debounce: DebounceOption | None = None


class TriggerBody(Wire):
    payload: Any = Field(
        None, description="Serialised by the sender (see options.payloadType), or any JSON value."
    )
    options: TriggerOptionsBody | None = None


class TriggerAnswer(Wire):
    id: str = Field(examples=["run_4m1kd3yhv7hdgd8gzxh2c"])
    is_cached: bool = Field(description="True when an idempotency key found an existing run.")


class TriggersItem(TriggerBody):
    task: str
    key: str | None = Field(
        None, description="Makes a repeat of this trigger, within an hour, no second run."
    )
    traceparent: str | None = Field(None, description="The span of the caller, as the header has it.")
    tracestate: str | None = None


class TriggersBody(Wire):
    items: list[TriggersItem]


class TriggersResult(Wire):
    """A run, or why there is none."""

    id: str | None = None
    is_cached: bool | None = None
    token: str | None = Field(None, description="A public access token that may read the run.")
    status: int | None = Field(
        None, description="Of the error: what a single trigger would be answered with."
    )
    error: str | None = None
    should_retry: bool | None = None


class TriggersAnswer(Wire):
    results: list[TriggersResult] = Field(description="In the order of the items.")


class BatchBody(Wire):
    run_count: int = Field(ge=1, le=1000)
    task_identifiers: list[str] | None = None
    parent_run_id: str | None = None
    resume_parent_on_completion: bool | None = None
    idempotency_key: str | None = Field(None, max_length=2048)
    idempotency_key_ttl: str | None = Field(None, alias="idempotencyKeyTTL")


class BatchCreatedAnswer(Wire):
    id: str = Field(examples=["batch_4m1kd3yhv7hdgd8gzxh2c"])
    run_count: int
    is_cached: bool


class BatchItemLine(Wire):
    """One line of the NDJSON stream."""

    index: int = Field(ge=0)
    task: str
    payload: Any = None
    options: TriggerOptionsBody | None = None


class ItemsAnswer(Wire):
    id: str
    items_accepted: int
    items_deduplicated: int
    sealed: bool = Field(description="True when every item has arrived; the batch takes no more.")
    enqueued_count: int | None = Field(None, description="Only while the batch is not sealed.")
    expected_count: int | None = None


class LegacyItem(Wire):
    task: str | None = None
    payload: Any = None
    options: TriggerOptionsBody | None = None


class LegacyBatchBody(Wire):
    items: list[LegacyItem]
    parent_run_id: str | None = None


class LegacyBatchAnswer(Wire):
    id: str
    run_count: int


class LegacyTaskBatchAnswer(Wire):
    batch_id: str
    runs: list[str]


class BatchItemError(Wire):
    index: int
    task_identifier: str
    error: str


class BatchProcessing(Wire):
    completed_at: datetime | None = None
    errors: list[BatchItemError]


class BatchAnswer(Wire):
    id: str
    status: Literal["PENDING", "PROCESSING", "COMPLETED", "PARTIAL_FAILED", "ABORTED"]
    idempotency_key: str | None = None
    created_at: datetime
    updated_at: datetime
    run_count: int
    runs: list[str]
    processing: BatchProcessing


# -- runs ------------------------------------------------------------------------------------------------
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


class Cursors(Wire):
    next: str | None = None
    previous: str | None = None


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


class BatchResultsAnswer(Wire):
    id: str
    items: list[ResultAnswer]


class IdAnswer(Wire):
    id: str


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


class MessageAnswer(Wire):
    message: str


class ResetKeyBody(Wire):
    task_identifier: str = Field(min_length=1, max_length=512)


class MetadataBody(Wire):
    metadata: dict[str, Any] | None = None
    operations: list[dict[str, Any]] | None = None
    parent_operations: list[dict[str, Any]] | None = None
    root_operations: list[dict[str, Any]] | None = None


class MetadataAnswer(Wire):
    metadata: dict[str, Any]


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


# -- waitpoint tokens ------------------------------------------------------------------------------------
class TokenBody(Wire):
    timeout: str | None = Field(
        None, description='A duration ("1h") or an ISO date; none: it never times out.'
    )
    idempotency_key: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    idempotency_key_ttl: str | None = Field(None, alias="idempotencyKeyTTL")
    tags: str | list[str] | None = None


class TokenCreatedAnswer(Wire):
    id: str = Field(examples=["waitpoint_4m1kd3yhv7hdgd8gzxh2c"])
    is_cached: bool
    url: str = Field(description="A POST to this URL completes the token; it needs no key.")


class TokenItem(Wire):
    id: str
    url: str
    status: Literal["WAITING", "COMPLETED", "TIMED_OUT"]
    created_at: datetime
    completed_at: datetime | None = None
    timeout_at: datetime | None = None
    idempotency_key: str | None = None
    idempotency_key_expires_at: datetime | None = None
    tags: list[str]


class TokenAnswer(TokenItem):
    output: str | None = None
    output_type: str | None = None
    output_is_error: bool | None = None


class TokenPage(Wire):
    data: list[TokenItem]
    pagination: Cursors


class CompleteBody(Wire):
    data: Any = Field(None, description="What the waiting run gets.")


class SuccessAnswer(Wire):
    success: Literal[True]


# -- schedules, tasks, the rest --------------------------------------------------------------------------
class Generator(Wire):
    type: Literal["CRON"]
    expression: str
    description: str


class ScheduleEnvironment(Wire):
    id: str
    type: str


class ScheduleAnswer(Wire):
    id: str
    type: Literal["DECLARATIVE", "IMPERATIVE"]
    task: str
    active: bool
    deduplication_key: str | None
    external_id: str | None
    generator: Generator
    timezone: str
    next_run: datetime | None
    environments: list[ScheduleEnvironment]


class ScheduleUpdateBody(Wire):
    task: str
    cron: str = Field(description="Five fields: minute hour day month weekday.", examples=["0 9 * * *"])
    timezone: str | None = Field(None, description="An IANA name; UTC if it is left out.")
    external_id: str | None = None
    window: str | None = Field(None, description="Refused: runs start at their slot.")


class ScheduleBody(ScheduleUpdateBody):
    deduplication_key: str | None = Field(
        None, description="A second schedule with the same key changes the first."
    )


class VariableBody(Wire):
    name: str
    value: str = Field(repr=False)
    is_secret: bool | None = None


class VariableUpdateBody(Wire):
    value: str = Field(repr=False)


class VariablesBody(Wire):
    variables: dict[str, str] = Field(repr=False)
    override: bool | None = Field(None, description="Replace those that exist.")
    is_secret: bool | None = None


class VariableAnswer(Wire):
    name: str
    value: str = Field(description="`<redacted>` if it is secret.")
    is_secret: bool


class VariablesAnswer(Wire):
    variables: dict[str, str]


class PageNumbers(Wire):
    current_page: int
    total_pages: int
    count: int


class SchedulePage(Wire):
    data: list[ScheduleAnswer]
    pagination: PageNumbers


QueueType = Literal["id", "task", "custom"]


class QueueConcurrency(Wire):
    current: int | None
    base: int | None = Field(description="What the task's code, or a trigger, has said.")
    override: int | None
    overridden_at: datetime | None
    overridden_by: str | None


class QueueAnswer(Wire):
    id: str
    name: str = Field(description="Of a task's own queue, the task's id.")
    type: Literal["task", "custom"]
    running: int
    queued: int
    paused: bool
    concurrency_limit: int | None = Field(description="Of each concurrency key; null is no limit.")
    concurrency: QueueConcurrency


class QueueEnvironment(Wire):
    running: int
    queued: int
    concurrency_limit: int | None


class QueuePage(Wire):
    data: list[QueueAnswer]
    pagination: PageNumbers
    environment: QueueEnvironment


class QueueBody(Wire):
    type: QueueType = "id"


class QueuePauseBody(QueueBody):
    action: Literal["pause", "resume"]


class QueueOverrideBody(QueueBody):
    concurrency_limit: int = Field(ge=0, le=MOST, strict=True)


class TimezonesAnswer(Wire):
    timezones: list[str]


class ClaimsAnswer(Wire):
    sub: str
    pub: bool


class UploadAnswer(Wire):
    presigned_url: str
    storage_path: str


class DownloadAnswer(Wire):
    presigned_url: str


class TaskItem(Wire):
    id: str
    file_path: str | None = None
    line: int | None = None
    kind: Literal["async", "sync"] | None = None
    trigger_source: Literal["standard", "schedule"]
    queue: QueueOption
    schedule: dict[str, Any] | None = None
    payload_schema: dict[str, Any] | None = None


class TasksAnswer(Wire):
    tasks: list[TaskItem]


class HealthAnswer(Wire):
    status: Literal["ok"]
    version: str
