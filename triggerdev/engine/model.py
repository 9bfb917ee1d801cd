"""The engine's data: runs, batches, tokens, schedules. No behaviour, no storage, no wire format.

Times are milliseconds since the epoch (UTC); durations are milliseconds unless a name says otherwise.
Payloads and outputs are opaque pairs of text and type ("application/json", "text/plain",
"application/super+json"); the engine never parses them.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from triggerdev.protocol import ErrorInfo

T = TypeVar("T")


class Status(StrEnum):
    """A run's status; the values are the stored ones, `public_name` gives the API's."""

    DELAYED = "DELAYED"
    PENDING = "PENDING"
    EXECUTING = "EXECUTING"
    RETRYING = "RETRYING_AFTER_FAILURE"
    WAITING = "WAITING_TO_RESUME"
    COMPLETED = "COMPLETED_SUCCESSFULLY"
    FAILED = "COMPLETED_WITH_ERRORS"
    CANCELED = "CANCELED"
    CRASHED = "CRASHED"
    SYSTEM_FAILURE = "SYSTEM_FAILURE"
    EXPIRED = "EXPIRED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_final(self) -> bool:
        return self in FINAL

    @property
    def public_name(self) -> str:
        return _PUBLIC.get(self, self.value)


FINAL = frozenset(
    {
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELED,
        Status.CRASHED,
        Status.SYSTEM_FAILURE,
        Status.EXPIRED,
        Status.TIMED_OUT,
    }
)
_PUBLIC = {
    Status.PENDING: "QUEUED",
    Status.RETRYING: "EXECUTING",
    Status.WAITING: "WAITING",
    Status.COMPLETED: "COMPLETED",
    Status.FAILED: "FAILED",
}


@dataclass(slots=True)
class Run:
    """One run, as stored; the fields stand in the order of the table's columns.

    `rev` grows with every change. `token` is the fencing token of the last claim. `ready`: can be claimed
    now. `due_at`: when something must happen by itself (delay over, retry due, TTL over). `score`: order in
    the queue, the lowest first. `worker`: the session that executes it or keeps it parked. `resuming`: the
    next claim continues the attempt instead of starting one. `has_ops`: its attempt has recorded operations.
    `peak_memory`: bytes, the most of all attempts.
    `traceparent`: the span that triggered it, in the W3C's form; without one the run is the root of a trace.
    `usage_before`: the part of `usage_ms` that earlier attempts used. `cost`, `base_cost`: in cents.
    """

    seq: int
    id: str
    task: str
    status: Status
    queue: str
    created_at: int
    updated_at: int
    rev: int = 0
    ready: bool = False
    due_at: int | None = None
    score: int = 0
    token: int = 0
    attempt: int = 0
    worker: str | None = None
    version: str | None = None
    resuming: bool = False
    cancel_requested: bool = False
    has_ops: bool = False
    usage_ms: int = 0
    queued_at: int | None = None
    started_at: int | None = None
    attempt_started_at: int | None = None
    finished_at: int | None = None
    delayed_until: int | None = None
    expires_at: int | None = None
    expired_at: int | None = None
    output: str | None = None
    output_type: str = "application/json"
    error: ErrorInfo | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] = field(default_factory=list)
    machine: str | None = None
    payload: str | None = None
    payload_type: str = "application/json"
    concurrency_key: str | None = None
    priority: float = 0
    ttl_ms: int | None = None
    max_attempts: int | None = None
    max_duration_ms: int | None = None
    parent_id: str | None = None
    root_id: str | None = None
    depth: int = 0
    trigger_function: str = "trigger"
    batch_id: str | None = None
    schedule_id: str | None = None
    idempotency_key: str | None = None
    idempotency_display: str | None = None
    is_test: bool = False
    is_replay: bool = False
    idempotency_scope: str | None = None
    peak_memory: int | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    usage_before: int = 0
    cost: float = 0
    base_cost: float = 0


@dataclass(slots=True)
class RunDetail:
    """A run with its relatives, as `runs.retrieve` shows it."""

    run: Run
    parent: Run | None = None
    root: Run | None = None
    children: list[Run] = field(default_factory=list)
    schedule: "Schedule | None" = None


@dataclass(slots=True, frozen=True)
class Debounce:
    """Triggers of a task with the same key are one run, which starts when none has come for `delay_ms`.

    `takes_last`: it runs with the payload of the last one, not of the first. `max_delay_ms`: it is not put
    off for longer than this since it was made; None: for ever.
    """

    key: str
    delay_ms: int
    takes_last: bool = False
    max_delay_ms: int | None = None


@dataclass(slots=True)
class RunTrace:
    """A run, with itself and its descendants in `runs`, and the spans of all; `is_cut`: there are more."""

    run: Run
    runs: list[Run]
    spans: "list[Span]"
    read_at: int
    is_cut: bool = False


@dataclass(slots=True)
class TriggerOptions:
    """Options of a trigger call, validated and in the engine's units."""

    delay_until: int | None = None
    ttl_ms: int | None = None
    priority: float = 0
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    queue: str | None = None
    queue_limit: int | None = None
    concurrency_key: str | None = None
    idempotency_key: str | None = None
    idempotency_display: str | None = None
    idempotency_scope: str | None = None
    idempotency_ttl_ms: int | None = None
    machine: str | None = None
    max_attempts: int | None = None
    max_duration_ms: int | None = None
    is_test: bool = False
    debounce: Debounce | None = None


@dataclass(slots=True)
class TriggerItem:
    """One run to make. `options` is the wire form (camelCase keys) of `POST /api/v1/tasks/{id}/trigger`."""

    task: str
    payload: str | None = None
    payload_type: str = "application/json"
    options: dict[str, Any] = field(default_factory=dict)
    index: int | None = None


@dataclass(slots=True)
class TriggerResult:
    """The run that answers a trigger: a new one, or one that a key has found.

    `is_cached`: an idempotency key; `is_debounced`: a debounce key, and the run was put off.
    """

    id: str
    is_cached: bool
    is_debounced: bool = False

    @property
    def is_new(self) -> bool:
        return not (self.is_cached or self.is_debounced)


@dataclass(slots=True)
class BatchError:
    index: int
    task: str
    error: str


@dataclass(slots=True)
class Batch:
    """A batch of runs. `remaining` counts its runs that are not final; COMPLETED when sealed and zero."""

    id: str
    run_count: int
    created_at: int
    updated_at: int
    sealed: bool = False
    accepted: int = 0
    remaining: int = 0
    status: str = "PENDING"
    idempotency_key: str | None = None
    parent_id: str | None = None
    completed_at: int | None = None
    runs: list[str] = field(default_factory=list)
    errors: list[BatchError] = field(default_factory=list)


@dataclass(slots=True)
class BatchCreated:
    id: str
    run_count: int
    is_cached: bool


@dataclass(slots=True)
class ItemsAccepted:
    accepted: int
    deduplicated: int
    sealed: bool


@dataclass(slots=True)
class Token:
    """A waitpoint token that somebody outside completes. `status`: WAITING, COMPLETED or TIMED_OUT."""

    id: str
    status: str
    created_at: int
    timeout_at: int | None = None
    completed_at: int | None = None
    idempotency_key: str | None = None
    idempotency_expires_at: int | None = None
    tags: list[str] = field(default_factory=list)
    output: str | None = None
    output_type: str = "application/json"
    output_is_error: bool = False


@dataclass(slots=True)
class TokenCreated:
    id: str
    is_cached: bool


@dataclass(slots=True)
class Schedule:
    """A cron schedule. DECLARATIVE ones come from the manifest of the current version, IMPERATIVE from calls.

    `next_at` of one that is not active, or whose task the current version lacks, may lie in the past.
    """

    id: str
    task: str
    cron: str
    timezone: str
    type: str = "DECLARATIVE"
    active: bool = True
    next_at: int | None = None
    last_at: int | None = None
    deduplication_key: str | None = None
    external_id: str | None = None


@dataclass(slots=True)
class Variable:
    """An environment variable of tasks. `value` is sealed in the store, plain in the engine's answers."""

    name: str
    value: str = field(repr=False)
    is_secret: bool = False
    updated_at: int = 0


@dataclass(slots=True)
class ScheduleOptions:
    """What a caller says of an imperative schedule; values are not checked yet."""

    task: str
    cron: str
    timezone: str = "UTC"
    external_id: str | None = None
    deduplication_key: str | None = None


@dataclass(slots=True)
class Queue:
    """A queue, as stored.

    `concurrency_limit`: the declared one, None for no limit. `override_limit` counts in its place, until it
    is reset. `paused_at`: since when nothing is given out.
    """

    name: str
    concurrency_limit: int | None
    updated_at: int
    override_limit: int | None = None
    overridden_at: int | None = None
    paused_at: int | None = None

    @property
    def limit(self) -> int | None:
        """How many of its runs may execute, for each concurrency key."""
        return self.concurrency_limit if self.override_limit is None else self.override_limit


@dataclass(slots=True)
class Load:
    """How many runs of a queue, or of all, execute and how many could if they had a slot."""

    running: int = 0
    queued: int = 0


@dataclass(slots=True)
class QueueDetail:
    """A queue with its load, as `queues.retrieve` shows it."""

    queue: Queue
    load: Load


@dataclass(slots=True)
class QueuePage:
    """A page of queues by name; `count` is that of all. `total` and `limit` are those of the environment."""

    items: list[QueueDetail]
    count: int
    total: Load
    limit: int | None


@dataclass(slots=True)
class RunFilter:
    """What `runs.list` can filter by; empty means all. `status` holds API names, times are inclusive."""

    status: list[str] = field(default_factory=list)
    task: list[str] = field(default_factory=list)
    version: list[str] = field(default_factory=list)
    tag: list[str] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)
    machine: list[str] = field(default_factory=list)
    batch: str | None = None
    schedule: str | None = None
    is_test: bool | None = None
    created_from: int | None = None
    created_to: int | None = None


@dataclass(slots=True)
class TokenFilter:
    status: list[str] = field(default_factory=list)
    idempotency_key: str | None = None
    tags: list[str] = field(default_factory=list)
    created_from: int | None = None
    created_to: int | None = None


@dataclass(slots=True)
class Page(Generic[T]):
    """A page of a cursor listing, newest first; cursors are opaque text, None at the ends."""

    items: list[T]
    next: str | None = None
    previous: str | None = None


@dataclass(slots=True)
class LogEntry:
    """A line of a run. `span`: the span in which it was written, None: in the attempt itself."""

    seq: int
    run: str
    attempt: int
    at: int
    stream: str
    level: str
    message: str
    data: dict[str, Any] | None = None
    span: str | None = None


@dataclass(slots=True)
class Span:
    """A timed part of a run, beside its state; times are nanoseconds since the epoch.

    `kind`: attempt, wait, trigger, step, user (of `logger.trace`) or auto (of an instrumentation). `parent`:
    the span that it is a part of. `ended_ns`: None while it lasts. `error`: what it failed with.
    """

    run: str
    id: str
    attempt: int
    parent: str
    name: str
    kind: str
    started_ns: int
    ended_ns: int | None = None
    error: str | None = None
    attributes: dict[str, Any] | None = None
    events: list[dict[str, Any]] | None = None


@dataclass(slots=True)
class RunEvent:
    """Something that happened to a run, for people who watch.

    `kind`: queued, started, resumed, waiting, retrying, finished. `duration_ms` is wall time of the attempt,
    `retry_at` is set for retrying, `status` is the new one.
    """

    kind: str
    run: str
    task: str
    attempt: int
    status: Status
    at: int
    duration_ms: int | None = None
    error: ErrorInfo | None = None
    retry_at: int | None = None


@dataclass(slots=True, frozen=True)
class Environment:
    """Who the server speaks for: one environment of one project."""

    id: str = "env_dev"
    slug: str = "dev"
    type: str = "DEVELOPMENT"
    name: str = "dev"
    project_id: str = "proj_dev"
    project_ref: str = "proj_dev"
    project_name: str = "dev"
    organization_id: str = "org_local"
    organization_slug: str = "local"
    organization_name: str = "local"
