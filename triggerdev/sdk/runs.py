"""`runs`: look at runs, follow them, cancel, replay, reschedule."""

import builtins
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Unpack
from urllib.parse import quote

from triggerdev.errors import PayloadError
from triggerdev.sdk import batch as batches
from triggerdev.sdk import http, packets, pages, realtime, run_filters, times
from triggerdev.sdk.calls import drive_iterator, operation, refuse_loop
from triggerdev.sdk.results import BatchHandle, RunFailedError, RunHandle
from triggerdev.sdk.run_filters import RunFilter

__all__ = [
    "Run",
    "cancel",
    "list",
    "poll",
    "replay",
    "reschedule",
    "retrieve",
    "subscribe_to_batch",
    "subscribe_to_run",
    "subscribe_to_runs_with_tag",
    "sync",
]

_LONG_POLL_S = 20


@dataclass(frozen=True)
class Run:
    """A run as the server sees it.

    `status`: QUEUED, DELAYED, EXECUTING, WAITING, or an end: COMPLETED, FAILED, CANCELED, CRASHED,
    SYSTEM_FAILURE, EXPIRED, TIMED_OUT. `duration_ms` is compute time. `output` is there when it COMPLETED.
    `peak_memory`: bytes that it used at most, where it had a process to itself.
    """

    id: str
    status: str
    task_identifier: str
    created_at: datetime
    updated_at: datetime
    is_queued: bool = False
    is_executing: bool = False
    is_waiting: bool = False
    is_completed: bool = False
    is_success: bool = False
    is_failed: bool = False
    is_cancelled: bool = False
    is_test: bool = False
    payload: Any = None
    output: Any = None
    error: RunFailedError | None = None
    tags: builtins.list[str] = field(default_factory=builtins.list)
    metadata: dict[str, Any] = field(default_factory=dict)
    cost_in_cents: float = 0.0
    base_cost_in_cents: float = 0.0
    duration_ms: float = 0
    attempt_count: int = 0
    depth: int = 0
    trigger_function: str = "trigger"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    delayed_until: datetime | None = None
    expired_at: datetime | None = None
    ttl: str | None = None
    version: str | None = None
    machine: str | None = None
    peak_memory: int | None = None
    idempotency_key: str | None = None
    batch_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    children: builtins.list[str] = field(default_factory=builtins.list)
    schedule: dict[str, Any] | None = None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Run":
        """Read a run of the HTTP API; fields that a listing leaves out keep their defaults."""
        values = {name: answer[wire] for name, wire in _PLAIN.items() if answer.get(wire) is not None}
        for name, wire in _MOMENTS.items():
            values[name] = times.parse_moment(answer.get(wire))
        related = answer.get("relatedRuns") or {}
        values["parent_id"] = (related.get("parent") or {}).get("id")
        values["root_id"] = (related.get("root") or {}).get("id")
        values["children"] = [child["id"] for child in related.get("children") or []]
        error = answer.get("error")
        values["error"] = RunFailedError(error) if error else None
        # EXPIRED and TIMED_OUT are ends too, whatever a server's flag says
        values["is_completed"] = bool(answer.get("isCompleted")) or answer["status"] in run_filters.ENDED
        return cls(**values)


_PLAIN = {
    "id": "id",
    "status": "status",
    "task_identifier": "taskIdentifier",
    "is_queued": "isQueued",
    "is_executing": "isExecuting",
    "is_waiting": "isWaiting",
    "is_success": "isSuccess",
    "is_failed": "isFailed",
    "is_cancelled": "isCancelled",
    "is_test": "isTest",
    "payload": "payload",
    "output": "output",
    "tags": "tags",
    "metadata": "metadata",
    "cost_in_cents": "costInCents",
    "base_cost_in_cents": "baseCostInCents",
    "duration_ms": "durationMs",
    "attempt_count": "attemptCount",
    "depth": "depth",
    "trigger_function": "triggerFunction",
    "ttl": "ttl",
    "version": "version",
    "machine": "machine",
    "peak_memory": "peakMemoryBytes",
    "idempotency_key": "idempotencyKey",
    "batch_id": "batchId",
    "schedule": "schedule",
}
_MOMENTS = {
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "started_at": "startedAt",
    "finished_at": "finishedAt",
    "delayed_until": "delayedUntil",
    "expired_at": "expiredAt",
}


def _path(run: "str | Run | RunHandle", version: str = "v1", action: str = "") -> str:
    run_id = run if isinstance(run, str) else getattr(run, "id", None)
    if not isinstance(run_id, str) or not run_id:
        raise PayloadError(f"{run!r:.60} is no run: use a run id, or what trigger gave.")
    return f"/api/{version}/runs/{quote(run_id, safe='')}{action}"


@operation("runs.retrieve")
async def retrieve(run: "str | Run | RunHandle") -> Run:
    """Look at a run. Raises NotFoundError."""
    return Run.of(await packets.filled((await http.request("GET", _path(run, "v3"))).body))


@operation("runs.cancel")
async def cancel(run: "str | Run | RunHandle") -> RunHandle:
    """Cancel a run and its descendants; one that has ended stays as it is. Raises NotFoundError."""
    return _handle((await http.request("POST", _path(run, "v2", "/cancel"))).body)


@operation("runs.replay")
async def replay(run: "str | Run | RunHandle") -> RunHandle:
    """Start a run of the current code with payload, tags and metadata of another. Raises NotFoundError."""
    return _handle((await http.request("POST", _path(run, "v1", "/replay"))).body)


def _handle(answer: dict[str, Any]) -> RunHandle:
    return RunHandle(answer["id"], answer.get("taskIdentifier", ""))


@operation("runs.reschedule")
async def reschedule(run: "str | Run | RunHandle", delay: str | timedelta | datetime) -> Run:
    """Give a DELAYED run another delay, from now. Raises UnprocessableEntityError if it is not delayed."""
    body = {"delay": times.moment_or_duration(delay, "delay")}
    answer = (await http.request("POST", _path(run, "v1", "/reschedule"), json=body)).body
    return Run.of(await packets.filled(answer))


async def _follow(
    run: "str | Run | RunHandle", poll_interval: float, timeout: float | None = None
) -> AsyncIterator[Run]:
    """Yield the run at once and after each change, until it has ended. Raises TimeoutError."""
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    path = _path(run, "v3")
    seen: tuple[Any, ...] | None = None
    revision: int | None = None
    known: dict[str, Any] = {}
    while True:
        patience = min(_LONG_POLL_S, max(0.0, deadline - time.monotonic()))
        params = {} if revision is None else {"wait": round(patience, 3), "since": revision}
        answer = (await http.request("GET", path, params=params, timeout=_LONG_POLL_S + 15)).body
        revision = answer.get("rev")
        now = Run.of(await packets.filled(answer, known))
        state = (revision, now.status, now.updated_at, now.metadata, now.tags)
        if state != seen:
            seen = state
            yield now
        if now.is_completed:
            return
        if time.monotonic() >= deadline:
            raise TimeoutError(f"Run {now.id} is {now.status}; it has not ended within {timeout} s.")
        if revision is None:  # another server, without the long poll
            await http.sleep(min(poll_interval, max(0.0, deadline - time.monotonic())))


@operation("runs.poll")
async def poll(
    run: "str | Run | RunHandle", *, poll_interval: float = 1.0, timeout: float | None = None
) -> Run:
    """Wait until a run has ended and give it; `poll_interval` (seconds) is for servers without the long poll.

    `timeout` is in seconds. Raises TimeoutError when it is over, NotFoundError.
    """
    async for now in _follow(run, poll_interval, timeout):
        last = now
    return last


def subscribe_to_run(run: "str | Run | RunHandle", *, poll_interval: float = 1.0) -> AsyncIterator[Run]:
    """Follow a run with `async for`: the run as it is, then at each change, until it has ended."""
    return _follow(run, poll_interval)


def _subscribe_blocking(run: "str | Run | RunHandle", *, poll_interval: float = 1.0) -> Iterator[Run]:
    """Follow a run with `for`: the run as it is, then at each change, until it has ended."""
    refuse_loop("runs.subscribe_to_run")
    return drive_iterator(_follow(run, poll_interval))


async def subscribe_to_runs_with_tag(
    tag: str | Sequence[str],
    *,
    created_at: str | timedelta | None = None,
    skip_columns: Sequence[str] = (),
) -> AsyncIterator[Run]:
    """Follow the runs that have a tag (of several: all of them), until the caller breaks off.

    Yields those that were made within `created_at` ("1h", by default a day), then each at each change, and
    new ones. `skip_columns` leaves out what is not needed: "payload", "output", "metadata", "error". The runs
    have no `attempt_count`, relatives and version.
    """
    async for rows in realtime.of_tags(tag, created_at, skip_columns):
        for row in rows:
            yield _of_row(row)


async def subscribe_to_batch(
    batch: str | BatchHandle, *, skip_columns: Sequence[str] = ()
) -> AsyncIterator[Run]:
    """Follow the runs of a batch, each at each change, until all have ended. Raises NotFoundError."""
    unfinished: set[str] = set()
    async for rows in realtime.of_batch(batch, skip_columns):
        for row in rows:
            run = _of_row(row)
            (unfinished.discard if run.is_completed else unfinished.add)(run.id)
            yield run
        if not unfinished and (await batches.retrieve(realtime.batch_id(batch))).is_completed:
            return


def _of_row(row: dict[str, Any]) -> Run:
    error = realtime.error_of(row)
    return Run(**realtime.fields(row), error=RunFailedError(error) if error else None)


def _subscribe_blocking_to_tag(
    tag: str | Sequence[str],
    *,
    created_at: str | timedelta | None = None,
    skip_columns: Sequence[str] = (),
) -> Iterator[Run]:
    """Follow the runs that have a tag (of several: all of them) with `for`, until the caller breaks off."""
    refuse_loop("runs.subscribe_to_runs_with_tag")
    return drive_iterator(subscribe_to_runs_with_tag(tag, created_at=created_at, skip_columns=skip_columns))


def _subscribe_blocking_to_batch(
    batch: str | BatchHandle, *, skip_columns: Sequence[str] = ()
) -> Iterator[Run]:
    """Follow the runs of a batch with `for`, each at each change, until all have ended."""
    refuse_loop("runs.subscribe_to_batch")
    return drive_iterator(subscribe_to_batch(batch, skip_columns=skip_columns))


def _listing(filters: RunFilter) -> pages.Listing[Run]:
    return pages.Listing("/api/v1/runs", run_filters.query(filters), None, Run.of)


def list(**filters: Unpack[RunFilter]) -> pages.Listing[Run]:
    """List runs, newest first: `async for` goes through all pages, `await` gives one Page with `.data`."""
    return _listing(filters)


def _list_blocking(**filters: Unpack[RunFilter]) -> pages.SyncListing[Run]:
    """List runs, newest first: iterating goes through all pages, `.data` is the first."""
    refuse_loop("runs.list")
    return pages.SyncListing(_listing(filters))


class _Sync:
    """The same calls for code without an event loop."""

    retrieve = staticmethod(retrieve.blocking)
    cancel = staticmethod(cancel.blocking)
    replay = staticmethod(replay.blocking)
    reschedule = staticmethod(reschedule.blocking)
    poll = staticmethod(poll.blocking)
    subscribe_to_run = staticmethod(_subscribe_blocking)
    subscribe_to_runs_with_tag = staticmethod(_subscribe_blocking_to_tag)
    subscribe_to_batch = staticmethod(_subscribe_blocking_to_batch)
    list = staticmethod(_list_blocking)


sync = _Sync()
