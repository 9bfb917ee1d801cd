"""Query parameters of listings: filters, cursors, pages."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from triggerdev import _durations
from triggerdev.engine.model import Page, RunFilter, Status, TokenFilter
from triggerdev.server import problems

_MAX_CURSOR = 512
_RUN_STATUSES = frozenset(status.public_name for status in Status) | {"PENDING_VERSION", "DEQUEUED"}
_TOKEN_STATUSES = frozenset({"WAITING", "COMPLETED", "TIMED_OUT"})
_MAX_MS = 253_402_300_799_999

Text = Annotated[str, Field(max_length=4096)] | None
Cursor = Annotated[str, Field(max_length=_MAX_CURSOR)] | None


class Paging(BaseModel):
    """`page[size]`, `page[after]`, `page[before]` and the filter by time."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    size: int = Field(25, alias="page[size]", ge=1, le=100)
    after: Cursor = Field(None, alias="page[after]", description="`pagination.next` of the page before.")
    before: Cursor = Field(None, alias="page[before]", description="`pagination.previous` of the page after.")
    created_from: Text = Field(
        None, alias="filter[createdAt][from]", description="Milliseconds or an ISO date."
    )
    created_to: Text = Field(None, alias="filter[createdAt][to]", description="Milliseconds or an ISO date.")
    period: Text = Field(None, alias="filter[createdAt][period]", description='Such as "1d".')

    def times(self, now_ms: int) -> tuple[int | None, int | None]:
        """Give the first and last creation time that are asked for."""
        start, end = _instant("from", self.created_from), _instant("to", self.created_to)
        if self.period:
            span = _durations.parse_duration_ms(self.period)
            if span is None:
                raise _query_error(f'filter[createdAt][period]: {self.period!r} is no duration like "1d"')
            start = max(start or 0, now_ms - span)
        return start, end


class RunQuery(Paging):
    """Filters of `GET /api/v1/runs`; lists are separated by commas."""

    status: Text = Field(None, alias="filter[status]", examples=["QUEUED,EXECUTING"])
    task: Text = Field(None, alias="filter[taskIdentifier]")
    version: Text = Field(None, alias="filter[version]")
    tag: Text = Field(None, alias="filter[tag]")
    queue: Text = Field(None, alias="filter[queue]", description="`task/<id>` is a task's own queue.")
    machine: Text = Field(None, alias="filter[machine]")
    batch: Text = Field(None, alias="filter[batch]")
    schedule: Text = Field(None, alias="filter[schedule]")
    is_test: bool | None = Field(None, alias="filter[isTest]")
    region: Text = Field(
        None, alias="filter[region]", description="There are no regions here: finds nothing."
    )
    bulk_action: Text = Field(None, alias="filter[bulkAction]", description="Finds nothing here.")

    def filter(self, now_ms: int) -> RunFilter:
        start, end = self.times(now_ms)
        return RunFilter(
            status=_known("filter[status]", split(self.status), _RUN_STATUSES),
            task=split(self.task),
            version=split(self.version),
            tag=split(self.tag),
            queue=split(self.queue),
            machine=split(self.machine),
            batch=self.batch or None,
            schedule=self.schedule or None,
            is_test=self.is_test,
            created_from=start,
            created_to=end,
        )


class TokenQuery(Paging):
    """Filters of `GET /api/v1/waitpoints/tokens`."""

    status: Text = Field(None, alias="filter[status]", examples=["WAITING"])
    idempotency_key: Text = Field(None, alias="filter[idempotencyKey]")
    tags: Text = Field(None, alias="filter[tags]")

    def filter(self, now_ms: int) -> TokenFilter:
        start, end = self.times(now_ms)
        return TokenFilter(
            status=_known("filter[status]", split(self.status), _TOKEN_STATUSES),
            idempotency_key=self.idempotency_key or None,
            tags=split(self.tags),
            created_from=start,
            created_to=end,
        )


class OffsetPaging(BaseModel):
    """Pages by number."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    page: int = Field(1, ge=1, le=1_000_000)
    per_page: int = Field(50, alias="perPage", ge=1, le=100)


def split(text: str | None) -> list[str]:
    """Split a comma list; blanks are dropped."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def cursors(page: Page[Any]) -> dict[str, str]:
    found = {"next": page.next, "previous": page.previous}
    return {name: cursor for name, cursor in found.items() if cursor is not None}


def _known(name: str, values: list[str], allowed: frozenset[str]) -> list[str]:
    for value in values:
        if value not in allowed:
            raise _query_error(f"{name}: {value!r} is none of {', '.join(sorted(allowed))}")
    return values


def _instant(name: str, text: str | None) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit():
        ms: int | None = int(text) if len(text) < 16 else _MAX_MS
    else:
        ms = _durations.parse_instant_ms(text)
    if ms is None:
        raise _query_error(f"filter[createdAt][{name}]: {text!r} is neither milliseconds nor an ISO date")
    return min(ms, _MAX_MS)


def _query_error(detail: str) -> problems.Problem:
    return problems.bad_request("Query Error", [detail])
