"""An attempt of a run from its start to its end, and who has its slot meanwhile."""

from typing import Any, Literal, NotRequired, TypedDict

from triggerdev.protocol.manifest import RetryInfo
from triggerdev.protocol.operations import OpRecord
from triggerdev.protocol.results import ErrorInfo


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
