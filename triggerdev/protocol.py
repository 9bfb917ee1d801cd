"""The worker protocol: what an engine and the processes that execute runs say to each other.

Messages are JSON objects with a type in "t". They travel in batches (a frame is a JSON array), over three
hops that share these types: engine <-> supervisor, supervisor <-> version process, supervisor <-> worker
process. All times are milliseconds since the epoch, all durations milliseconds. A run is addressed by
(run, token): the token is the fencing token of the attempt's lease and grows with every claim, so a message
with an old one is refused.

Engine -> worker     Start Resume OpDone Reply Cancel Evict LeaseLost
Worker -> engine     Op Park Wake Done Evicted Lost LogBatch SpanBatch
Version process      Load -> (importing) -> Loaded | LoadFailed;  Fork -> Forked | unforkable;  Exited
Worker process       (welcome) (taken) (blocked, unblocked) (ping -> pong) (shutdown)

Those in parentheses stay between a supervisor and its processes: `importing {file}` names what is imported,
in case it hangs; `unforkable {threads}`: workers must be spawned; `taken {runs: [[run, token], ...]}`: these
have reached user code, so a death now may be their fault, and the process has so many bytes in memory without
them (`resident`, `private`); `blocked {run, ms, stack}`: a coroutine keeps its loop. `done` may say that the
process is `worn` (it keeps too much memory), `evicted` that its run is a `suspect` of having used up its
loop's memory; a supervisor hears that and takes it out.

Operation ids are opaque to everybody but the executor. It writes `<path>:<n>`, where path is that of the
asyncio task (`0`, `0.1`, ...; hooks have branches of their own, such as `0.on_start`), and for metadata
`<path>:m<k>` (a flush) and `<path>:<n>:r` (what a wait brought). What a step does has the path `<path>.s<n>`,
where the step itself is `<path>:<n>`.
"""

from typing import Any, Final, Literal, NotRequired, TypedDict

PROTOCOL: Final = 1
MAX_ATTEMPTS: Final = 250
MIN_MAX_DURATION: Final = 1  # second
MAX_PAYLOAD_BYTES: Final = 3_145_728
STORED: Final = "application/store"  # the type of a text that is the key of a stored body
MAX_STORED_BYTES: Final = 10_485_760  # of a payload that is uploaded, or sent by a run; and of an output
MAX_OUTPUT_BYTES: Final = MAX_STORED_BYTES
INLINE_BYTES: Final = 524_288  # what is larger is stored beside the database

# Kinds of durable operations; a replay compares (kind, target) at each operation id.
WAIT: Final = "wait"
WAIT_TOKEN: Final = "wait_token"  # noqa: S105 - a kind of operation
CREATE_TOKEN: Final = "create_token"  # noqa: S105 - a kind of operation
COMPLETE_TOKEN: Final = "complete_token"  # noqa: S105 - a kind of operation
TRIGGER: Final = "trigger"
TRIGGER_AND_WAIT: Final = "trigger_and_wait"
BATCH_TRIGGER: Final = "batch_trigger"
BATCH_TRIGGER_AND_WAIT: Final = "batch_trigger_and_wait"
TAGS: Final = "tags"
METADATA: Final = "metadata"
RESET_KEY: Final = "reset_key"
STEP: Final = "step"
SCHEDULE: Final = "schedule"

# Machine presets: vCPU and memory in GB.
MACHINES: Final[dict[str, tuple[float, float]]] = {
    "micro": (0.25, 0.25),
    "small-1x": (0.5, 0.5),
    "small-2x": (1, 1),
    "medium-1x": (1, 2),
    "medium-2x": (2, 4),
    "large-1x": (4, 8),
    "large-2x": (8, 16),
}
DEFAULT_MACHINE: Final = "small-1x"

WAITING_KINDS: Final = frozenset({WAIT, WAIT_TOKEN, TRIGGER_AND_WAIT, BATCH_TRIGGER_AND_WAIT})


class ErrorInfo(TypedDict, total=False):
    """A run's error in the wire format of the public API (`TaskRunError`).

    type BUILT_IN_ERROR: name, message, stackTrace, causes; STRING_ERROR and CUSTOM_ERROR: raw;
    INTERNAL_ERROR: code, message, stackTrace. `location` ("trigger/basic.py:12", the user's innermost
    frame) and `sourceLine` are ours, for terminals.
    """

    type: str
    name: str
    message: str
    stackTrace: str
    causes: list[dict[str, Any]]
    raw: str
    code: str
    location: str
    sourceLine: str


class ChildResult(TypedDict, total=False):
    """What a parent gets of a finished child; `output` is text of type `output_type`."""

    ok: bool
    id: str
    task: str
    output: str | None
    output_type: str
    error: ErrorInfo


class OpRecord(TypedDict):
    """One durable operation of an attempt, as it is recorded. `result` is there when `done` is true.

    The result of a refused one is `{"error", "error_kind"}`, as in the Reply. `heard`: see Op. `at`: when
    what it waited for came about.
    """

    op: str
    kind: str
    target: str | None
    done: bool
    result: NotRequired[Any]
    heard: NotRequired[list[str]]
    at: NotRequired[int]


def is_refusal(result: Any) -> bool:
    """Say whether a recorded result is that of an operation which was refused."""
    return isinstance(result, dict) and "error_kind" in result


class RetryInfo(TypedDict, total=False):
    """A retry policy: the real system's names in snake_case."""

    max_attempts: int
    factor: float
    min_timeout_in_ms: int
    max_timeout_in_ms: int
    randomize: bool
    out_of_memory_machine: str | None


class QueueInfo(TypedDict, total=False):
    name: str
    concurrency_limit: int | None


class ScheduleInfo(TypedDict):
    cron: str
    timezone: str
    environments: NotRequired[list[str]]


class TaskInfo(TypedDict, total=False):
    """One task of a manifest. `kind`: "async" shares an event loop, "sync" has a process to itself.

    `scheduled`: it runs by schedules; `schedule` is the one that its code declares, if any.
    """

    id: str
    file: str
    line: int
    export: str
    kind: Literal["async", "sync"]
    description: str | None
    queue: QueueInfo | None
    retry: RetryInfo | None
    machine: str | None
    max_duration: float | None
    ttl_ms: int | None
    scheduled: bool
    schedule: ScheduleInfo | None
    payload_schema: dict[str, Any] | None


class Manifest(TypedDict):
    """What importing the task files found.

    `files`: paths below the project root that were imported (relative, sorted); `packages`: top-level names
    of imported modules from elsewhere; `threads`: modules whose import left a thread running.
    """

    tasks: list[TaskInfo]
    queues: list[QueueInfo]
    files: list[str]
    packages: list[str]
    threads: list[str]
    hash: str


class SourceProblem(TypedDict, total=False):
    """Why a version cannot be loaded.

    kind: "syntax", "import", "duplicate", "definition", "hook" or "shadowed".
    """

    kind: str
    message: str
    file: str
    line: int
    source_line: str
    traceback: str


class RunStart(TypedDict, total=False):
    """All that a worker needs to execute one attempt.

    `resumed`: the attempt had begun in another process and goes on from `record` (which may be empty).
    `larger_machine`: on which the run is tried again if it runs out of memory.
    `usage_before`: the part of `usage_ms` that earlier attempts used. `cost`, `base_cost`: cents so far.
    `traceparent`, `tracestate`: the span that triggered it, in the W3C's form. `open_spans`: those of the
    attempt that were begun in another process and have not ended: since when, in ns.
    """

    id: str
    token: int
    task: str
    attempt: int
    version: str
    payload: str | None
    payload_type: str
    metadata: dict[str, Any]
    tags: list[str]
    queue: str
    machine: str
    max_duration_ms: int | None
    usage_ms: int
    max_attempts: int
    priority: float
    created_at: int
    started_at: int
    attempt_started_at: int
    idempotency_key: str | None
    idempotency_key_scope: str | None
    parent_id: str | None
    root_id: str | None
    batch_id: str | None
    depth: int
    is_test: bool
    is_replay: bool
    resumed: bool
    larger_machine: str | None
    record: list[OpRecord]
    usage_before: int
    cost: float
    base_cost: float
    traceparent: str | None
    tracestate: str | None
    open_spans: dict[str, int]


class Start(TypedDict):
    t: Literal["start"]
    run: RunStart


class Resume(TypedDict):
    """A parked run has a slot again; `ops` are the operations that were completed meanwhile.

    `metadata`: the run's own, as its children have left it.
    """

    t: Literal["resume"]
    run: str
    old: int
    token: int
    ops: list[OpRecord]
    metadata: NotRequired[dict[str, Any]]


class OpDone(TypedDict):
    """An operation of an executing run is complete (another branch of it may be running)."""

    t: Literal["op_done"]
    run: str
    token: int
    op: str
    result: Any
    metadata: NotRequired[dict[str, Any]]


class Reply(TypedDict):
    """Answer to an Op.

    `pending`: recorded, the result follows by OpDone or Resume. `error`: refused; `error_kind` is the error's
    class, or "stale" when the lease is no longer held, upon which the run unwinds and answers Evicted.
    """

    t: Literal["reply"]
    id: int
    run: str
    token: int
    pending: NotRequired[bool]
    result: NotRequired[Any]
    error: NotRequired[str]
    error_kind: NotRequired[str]


class Cancel(TypedDict):
    """End the attempt: on_cancel hooks, then unwinding; `reason` "cancelled" or "lease_lost"."""

    t: Literal["cancel"]
    run: str
    token: int
    reason: str


class Evict(TypedDict):
    """Unwind a parked run; it resumes elsewhere by replay. Answered by Evicted."""

    t: Literal["evict"]
    run: str
    token: int


class LeaseLost(TypedDict):
    """The worker was not heard of for longer than its lease: its runs go on elsewhere, their copies end."""

    t: Literal["lease_lost"]


class Op(TypedDict):
    """Do and record one durable operation; `id` pairs the Reply.

    `heard`: which results the code has taken since the operation before this one, in order: an id; "+" and an
    id, in the same turn of the loop as the one before; "-" and an id, given up by its waiter; "+-", in the
    same turn as the one given up before. Not there if it has taken all that were outstanding, in the order in
    which it asked, as code without branches does.
    """

    t: Literal["op"]
    id: int
    run: str
    token: int
    op: str
    kind: str
    target: str | None
    args: dict[str, Any]
    heard: NotRequired[list[str]]


class Park(TypedDict):
    """Every branch of the run waits for durable operations: it gives back its slot.

    `wake_at`: when the first timer of its own code is due, for which it needs a slot again.
    """

    t: Literal["park"]
    run: str
    token: int
    ops: list[str]
    usage_ms: int
    wake_at: NotRequired[int]


class Wake(TypedDict):
    """A parked run has a timer that was not in its Park and is due: it needs a slot, and gets Resume."""

    t: Literal["wake"]
    run: str
    token: int


class Done(TypedDict, total=False):
    """The end of an attempt. `outcome`: ok, failed, cancelled, timed_out, crashed.

    ok: output, output_type. failed: error, skip_retry (no further attempts), and from catch_error retry_at
    or retry_delay_ms or retry (another policy). crashed: error with an INTERNAL_ERROR code (the process is
    gone). `peak_memory`: the bytes that it used at most, if that is known.
    """

    t: Literal["done"]
    run: str
    token: int
    outcome: Literal["ok", "failed", "cancelled", "timed_out", "crashed"]
    output: str | None
    output_type: str
    error: ErrorInfo
    skip_retry: bool
    retry_at: int
    retry_delay_ms: int
    retry: RetryInfo
    usage_ms: int
    peak_memory: int


class Evicted(TypedDict):
    """A run has left its process; it resumes from its record."""

    t: Literal["evicted"]
    run: str
    token: int


class Lost(TypedDict):
    """Processes are gone through no fault of these (run, token) pairs: their attempts go on elsewhere."""

    t: Literal["lost"]
    runs: list[tuple[str, int]]


class LogLine(TypedDict, total=False):
    """One line of a run. `stream`: stdout, stderr or log; `level` for log; `data` are its properties.

    `span`: the span in which it was written, unless that is the attempt itself.
    """

    run: str
    attempt: int
    at: int
    stream: Literal["stdout", "stderr", "log"]
    level: str
    message: str
    data: dict[str, Any]
    span: str


class LogBatch(TypedDict):
    t: Literal["logs"]
    lines: list[LogLine]


class SpanRecord(TypedDict):
    """One span of a run, as it begins (without `end`) or as it was; `start` and `end` in ns since the epoch.

    `kind`: wait, trigger, step, user or auto. `events`: `{"name", "at", "attributes"}`.
    """

    id: str
    parent: str
    name: str
    kind: str
    start: int
    end: NotRequired[int]
    error: NotRequired[str]
    attributes: NotRequired[dict[str, Any]]
    events: NotRequired[list[dict[str, Any]]]


class SpanBatch(TypedDict):
    """Spans of one run; dropped if its lease is no longer held."""

    t: Literal["spans"]
    run: str
    token: int
    spans: list[SpanRecord]


class PriceTable(TypedDict):
    """What runs cost, in cents: for each that starts, for a second of compute time by machine preset."""

    per_run: float
    per_second: dict[str, float]


class PluginSettings(TypedDict):
    """Something of the user's by reference, with keyword arguments."""

    use: str
    options: dict[str, Any]


class TelemetrySettings(TypedDict):
    """`[telemetry]`; `otlp`: `{"endpoint", "headers"}`."""

    instrumentations: list[PluginSettings]
    exporters: list[PluginSettings]
    log_exporters: list[PluginSettings]
    resource: dict[str, str]
    otlp: dict[str, Any] | None


class WorkerSettings(TypedDict, total=False):
    """What a version process must know of the config; plain data, so that it needs no config package."""

    root: str
    dirs: list[str]
    ignore: list[str]
    hooks: dict[str, list[str]]
    init: str | None
    retry: RetryInfo | None
    default_machine: str | None
    max_duration: float | None
    ttl_ms: int | None
    log_level: str
    console_logging: bool
    prices: PriceTable
    telemetry: TelemetrySettings
    environment: dict[str, Any]
    project: dict[str, Any]
    organization: dict[str, Any]
    api_url: str
    api_key: str


class Load(TypedDict):
    t: Literal["load"]
    version: str
    settings: WorkerSettings


class Loaded(TypedDict):
    t: Literal["loaded"]
    version: str
    manifest: Manifest
    took_ms: float


class LoadFailed(TypedDict):
    """The code cannot be imported. `files` were read all the same; a change of one may mend it."""

    t: Literal["load_failed"]
    version: str
    problems: list[SourceProblem]
    files: list[str]


class Fork(TypedDict):
    """Start a worker process; `group` is the folder of the control group that it moves into."""

    t: Literal["fork"]
    worker: int
    kind: Literal["async", "sync"]
    group: NotRequired[str]


class Forked(TypedDict):
    t: Literal["forked"]
    worker: int
    pid: int


class Exited(TypedDict):
    """A worker process is gone. `status` is its exit code, or minus the signal that ended it.

    `peak`: the bytes that it had in memory at most since its last run began.
    """

    t: Literal["exited"]
    worker: int
    pid: int
    status: int
    peak: int


Message = dict[str, Any]
