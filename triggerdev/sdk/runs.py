"""`runs`: look at runs, follow them, cancel, replay, reschedule."""

import builtins
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack
from urllib.parse import quote

from triggerdev.errors import PayloadError
from triggerdev.sdk import http, pages, times
from triggerdev.sdk.calls import drive_iterator, operation, refuse_loop
from triggerdev.sdk.results import RunFailedError, RunHandle

__all__ = [
    "Run",
    "cancel",
    "list",
    "poll",
    "replay",
    "reschedule",
    "retrieve",
    "subscribe_to_run",
    "sync",
]

_LONG_POLL_S = 20
_ENDED = frozenset(
    {"COMPLETED", "FAILED", "CANCELED", "CRASHED", "SYSTEM_FAILURE", "INTERRUPTED", "EXPIRED", "TIMED_OUT"}
)


@dataclass(frozen=True)
class Run:
    """A run as the server sees it.

    `status`: QUEUED, DELAYED, EXECUTING, WAITING, or an end: COMPLETED, FAILED, CANCELED, CRASHED,
    SYSTEM_FAILURE, EXPIRED, TIMED_OUT. `duration_ms` is compute time. `output` is there when it COMPLETED.
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
        values["is_completed"] = bool(answer.get("isCompleted")) or answer["status"] in _ENDED
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
    return Run.of((await http.request("GET", _path(run, "v3"))).body)


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
    return Run.of((await http.request("POST", _path(run, "v1", "/reschedule"), json=body)).body)


async def _follow(
    run: "str | Run | RunHandle", poll_interval: float, timeout: float | None = None
) -> AsyncIterator[Run]:
    """Yield the run at once and after each change, until it has ended. Raises TimeoutError."""
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    path = _path(run, "v3")
    seen: tuple[Any, ...] | None = None
    revision: int | None = None
    while True:
        patience = min(_LONG_POLL_S, max(0.0, deadline - time.monotonic()))
        params = {} if revision is None else {"wait": round(patience, 3), "since": revision}
        answer = (await http.request("GET", path, params=params, timeout=_LONG_POLL_S + 15)).body
        revision = answer.get("rev")
        now = Run.of(answer)
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


class RunFilter(TypedDict, total=False):
    """Filters of a listing; several values mean any of them.

    `status`: names of the API ("QUEUED", "FAILED", ...). `queue`: "task/<id>" for a task's own. `period`:
    "24h", "7d" until now. `limit`: page size, 100 at most. `after`, `before`: cursors of a Page.
    """

    status: str | Sequence[str]
    task_identifier: str | Sequence[str]
    version: str | Sequence[str]
    tag: str | Sequence[str]
    queue: str | Sequence[str]
    machine: str | Sequence[str]
    batch: str
    schedule: str
    is_test: bool
    created_from: datetime
    created_to: datetime
    period: str
    limit: int
    after: str
    before: str


_FILTERS = {
    "status": "filter[status]",
    "task_identifier": "filter[taskIdentifier]",
    "version": "filter[version]",
    "tag": "filter[tag]",
    "queue": "filter[queue]",
    "machine": "filter[machine]",
    "batch": "filter[batch]",
    "schedule": "filter[schedule]",
    "is_test": "filter[isTest]",
    "created_from": "filter[createdAt][from]",
    "created_to": "filter[createdAt][to]",
    "period": "filter[createdAt][period]",
    "limit": "page[size]",
    "after": "page[after]",
    "before": "page[before]",
}


def _filter_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return str(times.instant_ms(value, name))
    return str(value) if isinstance(value, (str, int)) else ",".join(value)


def _listing(filters: RunFilter) -> pages.Listing[Run]:
    unknown = filters.keys() - _FILTERS.keys()
    if unknown:
        raise PayloadError(f"runs.list has no filter {min(unknown)!r}; it has {', '.join(_FILTERS)}.")
    given = {name: value for name, value in filters.items() if value is not None}
    params = {_FILTERS[name]: _filter_text(name, value) for name, value in given.items()}
    return pages.Listing("/api/v1/runs", params, None, Run.of)


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
    list = staticmethod(_list_blocking)


sync = _Sync()
