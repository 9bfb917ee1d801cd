"""What the store in memory is asked that needs more than a line: filters, pages, due times."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from triggerdev.engine.model import Run, RunFilter, Schedule, Status, Token, TokenFilter
from triggerdev.engine.store.memory_tables import Tables

T = TypeVar("T")
_PUBLIC_NAMES = frozenset(status.public_name for status in Status)


def matches(run: Run, where: RunFilter) -> bool:
    """Tell whether a run passes a filter."""
    return (
        (not where.status or any(_has_status(run, name) for name in where.status))
        and (not where.tag or any(tag in where.tag for tag in run.tags))
        and all(
            not wanted or value in wanted
            for wanted, value in (
                (where.task, run.task),
                (where.version, run.version),
                (where.queue, run.queue),
                (where.machine, run.machine),
            )
        )
        and where.batch in (None, run.batch_id)
        and where.schedule in (None, run.schedule_id)
        and where.is_test in (None, run.is_test)
        and _is_between(run.created_at, where.created_from, where.created_to)
    )


def _has_status(run: Run, name: str) -> bool:
    return name == (run.status.public_name if name in _PUBLIC_NAMES else run.status.value)


def matches_token(token: Token, where: TokenFilter) -> bool:
    """Tell whether a token passes a filter."""
    return (
        (not where.status or token.status in where.status)
        and where.idempotency_key in (None, token.idempotency_key)
        and (not where.tags or any(tag in where.tags for tag in token.tags))
        and _is_between(token.created_at, where.created_from, where.created_to)
    )


def _is_between(at: int, first: int | None, last: int | None) -> bool:
    return (first is None or at >= first) and (last is None or at <= last)


def page(found: list[T], key: Callable[[T], Any], size: int, after: Any, before: Any) -> list[T]:
    """Cut a page, newest first: the first `size` behind `after`, or the last `size` ahead of `before`."""
    newest_first = sorted(found, key=key, reverse=True)
    if before is not None:
        newer = [item for item in newest_first if key(item) > before]
        return newer[-size:] if size else []
    return [item for item in newest_first if after is None or key(item) < after][:size]


def due_schedules(tables: Tables, now: int, tasks: Sequence[str]) -> list[Schedule]:
    """List the schedules of some tasks that are due, the oldest first."""
    waiting = (each for each in tables.schedules.values() if each.active and each.task in tasks)
    due = [(each.next_at, each.id, each) for each in waiting if each.next_at is not None]
    return [each for at, _, each in sorted(due, key=lambda row: row[:2]) if at <= now]


def next_due(tables: Tables, scheduled: Sequence[str]) -> int | None:
    """Tell when the next thing happens by itself; of schedules, those of some tasks count."""
    return min((at for at in _due_times(tables, scheduled) if at is not None), default=None)


def _due_times(tables: Tables, scheduled: Sequence[str]) -> Iterator[int | None]:
    yield from (run.due_at for run in tables.runs.values())
    yield from (op.due_at for op in tables.ops.values() if not op.done)
    yield from (token.timeout_at for token in tables.tokens.values() if token.status == "WAITING")
    schedules = tables.schedules.values()
    yield from (each.next_at for each in schedules if each.active and each.task in scheduled)
