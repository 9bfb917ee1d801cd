"""What the engine's callers get: a run with its surroundings, pages, what a repeated request has made."""

from collections.abc import Callable
from typing import Any, TypeVar

from triggerdev import errors
from triggerdev.engine.commands import operations, schedule_calls
from triggerdev.engine.context import Context
from triggerdev.engine.model import Page, RunDetail, Schedule, TriggerResult

T = TypeVar("T")
_CHILDREN_SHOWN = 100


def made_run(run_id: str) -> TriggerResult:
    return TriggerResult(run_id, is_cached=False)


def detail(ctx: Context, run_id: str) -> RunDetail:
    run = ctx.run(run_id)
    found = RunDetail(run)
    if run.parent_id is not None:
        found.parent = ctx.find(run.parent_id)
        found.root = ctx.find(run.root_id) if run.root_id else None
    found.children = ctx.tx.children(run_id, _CHILDREN_SHOWN)
    if run.schedule_id is not None:
        found.schedule = ctx.tx.get_schedule(run.schedule_id)
    return found


def schedules(ctx: Context, page: int, per_page: int) -> tuple[list[Schedule], int]:
    """List a page of schedules, and count all."""
    found = ctx.tx.list_schedules(per_page, (page - 1) * per_page)
    return [schedule_calls.shown(ctx, each) for each in found], ctx.tx.count_schedules()


def update_metadata(ctx: Context, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    run = ctx.run(run_id)
    whole = body.get("metadata")
    own = [{"type": "update", "value": whole}] if whole is not None else body.get("operations")
    args = {
        "operations": own,
        "parent_operations": body.get("parentOperations"),
        "root_operations": body.get("rootOperations"),
    }
    return operations.change_metadata(ctx, run, args)


def cursor(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise errors.InvalidOptionError(f"page cursor {text!r} is none that this server gave out.")
    return int(text)


def page(
    found: list[T], size: int, key: Callable[[T], str], after: str | None, before: str | None
) -> Page[T]:
    more = len(found) > size
    items = found[:size] if before is None else found[-size:]
    if not items:
        return Page([])
    has_next = more if before is None else True
    has_previous = after is not None if before is None else more
    return Page(
        items,
        next=key(items[-1]) if has_next else None,
        previous=key(items[0]) if has_previous else None,
    )
