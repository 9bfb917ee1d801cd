"""`queues`: looking at queues, pausing them, overriding their limits."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from triggerdev.errors import PayloadError
from triggerdev.sdk import http, times
from triggerdev.sdk.calls import drive_iterator, operation, refuse_loop
from triggerdev.sdk.policy import Queue
from triggerdev.sdk.task import Task

__all__ = [
    "QueueState",
    "list",
    "override_concurrency_limit",
    "pause",
    "reset_concurrency_limit",
    "resume",
    "retrieve",
    "sync",
]

MAX_LIMIT = 100_000
_PER_PAGE = 100
_PATH = "/api/v1/queues"
_ID = re.compile(r"queue_[0-9a-z]{21}")
_TYPES = ("task", "custom")

QueueRef = str | Queue | Task[Any] | Mapping[str, str]


@dataclass(frozen=True)
class QueueState:
    """A queue as it is now.

    `name`: of a task's own queue (`type` "task"), the task's id. `running`, `queued`: its runs that execute,
    that wait for a slot. `concurrency_limit`: what counts, for each concurrency key; None is no limit.
    `base`: what code declares, `override`: what counts instead.
    """

    id: str
    name: str
    type: str
    running: int
    queued: int
    paused: bool
    concurrency_limit: int | None = None
    base: int | None = None
    override: int | None = None
    overridden_at: datetime | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "QueueState":
        """Read a queue of the HTTP API."""
        limits = answer.get("concurrency") or {}
        return cls(
            id=answer["id"],
            name=answer["name"],
            type=answer["type"],
            running=answer["running"],
            queued=answer["queued"],
            paused=answer["paused"],
            concurrency_limit=answer.get("concurrencyLimit"),
            base=limits.get("base"),
            override=limits.get("override"),
            overridden_at=times.parse_moment(limits.get("overriddenAt")),
        )


async def _all() -> AsyncIterator[QueueState]:
    page, last = 1, 1
    while page <= last:
        answer = (await http.request("GET", _PATH, params={"page": page, "perPage": _PER_PAGE})).body
        for item in answer["data"]:
            yield QueueState.of(item)
        last = (answer.get("pagination") or {}).get("totalPages", 1)
        page += 1


def list() -> AsyncIterator[QueueState]:
    """List all queues by name; pages are fetched while you iterate with `async for`."""
    return _all()


def _list_blocking() -> Iterator[QueueState]:
    """List all queues by name; pages are fetched while you iterate."""
    refuse_loop("queues.list")
    return drive_iterator(_all())


@operation("queues.retrieve")
async def retrieve(queue: QueueRef) -> QueueState:
    """Look at a queue: by name, id, `queue(...)`, a task (its own), or {"type": "task", "name": id}.

    Raises NotFoundError for one that no code declares and no run was ever in.
    """
    kind, name = _reference(queue)
    answer = await http.request("GET", f"{_PATH}/{name}", params={"type": kind})
    return QueueState.of(answer.body)


@operation("queues.pause")
async def pause(queue: QueueRef) -> QueueState:
    """Give out no more runs of a queue; those that execute go on. Raises NotFoundError."""
    return await _post(queue, "pause", action="pause")


@operation("queues.resume")
async def resume(queue: QueueRef) -> QueueState:
    """Give out runs of a queue again. Raises NotFoundError."""
    return await _post(queue, "pause", action="resume")


@operation("queues.override_concurrency_limit")
async def override_concurrency_limit(queue: QueueRef, concurrency_limit: int) -> QueueState:
    """Let another limit count than the declared one, also in later versions of the code, until it is reset.

    0 lets nothing start, 100,000 is the most. Raises PayloadError, NotFoundError.
    """
    limit = concurrency_limit
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= MAX_LIMIT:
        raise PayloadError(f"concurrency_limit={limit!r}: use a whole number of 0 to {MAX_LIMIT:,}.")
    return await _post(queue, "concurrency/override", concurrencyLimit=limit)


@operation("queues.reset_concurrency_limit")
async def reset_concurrency_limit(queue: QueueRef) -> QueueState:
    """Let the declared limit of a queue count again. Raises NotFoundError."""
    return await _post(queue, "concurrency/reset")


async def _post(queue: QueueRef, route: str, **body: Any) -> QueueState:
    kind, name = _reference(queue)
    answer = await http.request("POST", f"{_PATH}/{name}/{route}", json={"type": kind, **body})
    return QueueState.of(answer.body)


def _reference(queue: QueueRef) -> tuple[str, str]:
    """Say what kind of reference it is and write it for a path. Raises PayloadError."""
    if isinstance(queue, Task):
        own = queue.queue
        kind, name = ("custom", own["name"]) if own else ("task", queue.id)
    elif isinstance(queue, Queue):
        kind, name = "custom", queue.name
    elif isinstance(queue, str):
        kind, name = ("id" if _ID.fullmatch(queue) else "custom"), queue
    else:
        kind, name = _of_mapping(queue)
    if not name:
        raise PayloadError("queue: a name is needed.")
    return kind, quote(quote(name, safe=""), safe="")  # a slash is written as the official client does


def _of_mapping(queue: Any) -> tuple[str, str]:
    options = dict(queue) if isinstance(queue, Mapping) else {}
    kind, name = options.pop("type", "custom"), options.pop("name", None)
    if options or kind not in _TYPES or not isinstance(name, str):
        raise PayloadError(
            f'queue={queue!r:.80}: use a name, an id, a task, queue(...), or {{"type": "task", "name": id}}.'
        )
    return kind, name


class _Sync:
    """The same calls for code without an event loop."""

    list = staticmethod(_list_blocking)
    retrieve = staticmethod(retrieve.blocking)
    pause = staticmethod(pause.blocking)
    resume = staticmethod(resume.blocking)
    override_concurrency_limit = staticmethod(override_concurrency_limit.blocking)
    reset_concurrency_limit = staticmethod(reset_concurrency_limit.blocking)


sync = _Sync()
