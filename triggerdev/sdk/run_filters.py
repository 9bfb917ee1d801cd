"""What runs are listed by: the filters of `runs.list` in their wire form."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from triggerdev.errors import PayloadError
from triggerdev.sdk import times
from triggerdev.sdk.results import BatchHandle

ENDED = frozenset(
    {"COMPLETED", "FAILED", "CANCELED", "CRASHED", "SYSTEM_FAILURE", "INTERRUPTED", "EXPIRED", "TIMED_OUT"}
)
STATUSES = ENDED | {"PENDING_VERSION", "QUEUED", "DEQUEUED", "DELAYED", "EXECUTING", "WAITING"}


class RunFilter(TypedDict, total=False):
    """Filters of a listing; several values mean any of them.

    `status`: names of the API ("QUEUED", "FAILED", ...). `task`: ids or tasks (also as `task_identifier`).
    `queue`: "task/<id>" for a task's own. `from_` and `to` (or `created_from`, `created_to`): when it was
    created; `period`: "24h", "7d" until now. `limit`: page size, 100 at most. `after`, `before`: cursors of a
    Page.
    """

    status: str | Sequence[str]
    task: Any
    task_identifier: str | Sequence[str]
    version: str | Sequence[str]
    tag: str | Sequence[str]
    queue: str | Sequence[str]
    machine: str | Sequence[str]
    region: str | Sequence[str]
    batch: str | BatchHandle
    schedule: str
    bulk_action: str
    is_test: bool
    from_: datetime | str
    to: datetime | str
    created_from: datetime | str
    created_to: datetime | str
    period: str | timedelta
    limit: int
    after: str
    before: str


_FILTERS = {
    "status": "filter[status]",
    "task": "filter[taskIdentifier]",
    "task_identifier": "filter[taskIdentifier]",
    "version": "filter[version]",
    "tag": "filter[tag]",
    "queue": "filter[queue]",
    "machine": "filter[machine]",
    "region": "filter[region]",
    "batch": "filter[batch]",
    "schedule": "filter[schedule]",
    "bulk_action": "filter[bulkAction]",
    "is_test": "filter[isTest]",
    "from_": "filter[createdAt][from]",
    "to": "filter[createdAt][to]",
    "created_from": "filter[createdAt][from]",
    "created_to": "filter[createdAt][to]",
    "period": "filter[createdAt][period]",
    "limit": "page[size]",
    "after": "page[after]",
    "before": "page[before]",
}


_TIMES = ("from_", "to", "created_from", "created_to")


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if name in _TIMES:
        return str(times.instant_ms(value, name))
    if name == "period":
        return times.duration_text(value, name)
    several = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    texts = [each if isinstance(each, (str, int)) else _id_of(name, each) for each in several]
    if name == "status":
        for text in texts:
            _check_status(text)
    return ",".join(map(str, texts))


def _id_of(name: str, value: Any) -> str:
    """Give the id of a task or a batch, the name of a queue."""
    found = getattr(value, "id", None) or getattr(value, "name", None)
    if not isinstance(found, str):
        raise PayloadError(f"{name}={value!r:.60}: use a text, or a list of texts.")
    return found


def _check_status(text: Any) -> None:
    from difflib import get_close_matches

    for each in str(text).split(","):
        if each.strip() not in STATUSES:
            near = get_close_matches(each.upper(), STATUSES, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise PayloadError(f"status={each!r:.60} is none of {', '.join(sorted(STATUSES))}.{hint}")


def query(filters: RunFilter) -> dict[str, str]:
    """Write filters as the parameters of a listing. Raises PayloadError that names the filter."""
    unknown = filters.keys() - _FILTERS.keys()
    if unknown:
        raise PayloadError(f"runs.list has no filter {min(unknown)!r}; it has {', '.join(_FILTERS)}.")
    params: dict[str, str] = {}
    for name, value in filters.items():
        if value is not None:
            if _FILTERS[name] in params:
                raise PayloadError(f"runs.list: {name!r} was given under another name, too.")
            params[_FILTERS[name]] = _text(name, value)
    return params
