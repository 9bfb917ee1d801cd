"""Rows of the databases <-> the engine's data. The orders of columns are those of the schemas."""

from collections.abc import Callable
from typing import Any, TypeVar

from triggerdev import _json
from triggerdev.engine.model import Batch, LogEntry, Queue, Run, Schedule, Span, Status, Token, Variable
from triggerdev.engine.store.protocol import OpRow

T = TypeVar("T")
_STATUS = {status.value: status for status in Status}


class DamagedRowError(Exception):
    """A row is not what was written."""


def _checked(read: Callable[[tuple[Any, ...]], T]) -> Callable[[tuple[Any, ...]], T]:
    """Let a reader of rows say which row it cannot read."""

    def checked(row: tuple[Any, ...]) -> T:
        try:
            return read(row)
        except (LookupError, TypeError, ValueError) as error:
            raise DamagedRowError(f"the {read.__name__} {row[0]!r} cannot be read ({error!r})") from error

    return checked


def _text(value: Any) -> str | None:
    return None if value is None else _json.dumps(value)


def _value(text: str | None) -> Any:
    return None if text is None else _json.loads(text)


def new_run(r: Run) -> tuple[Any, ...]:
    """Bind `insert_run`: every column but seq."""
    return (
        r.id,
        r.task,
        r.status,
        r.queue,
        r.created_at,
        r.updated_at,
        r.rev,
        r.ready,
        r.due_at,
        r.score,
        r.token,
        r.attempt,
        r.worker,
        r.version,
        r.resuming,
        r.cancel_requested,
        r.has_ops,
        r.usage_ms,
        r.queued_at,
        r.started_at,
        r.attempt_started_at,
        r.finished_at,
        r.delayed_until,
        r.expires_at,
        r.expired_at,
        r.output,
        r.output_type,
        _text(r.error),
        _text(r.metadata),
        _text(r.tags) if r.tags else None,
        r.machine,
        r.payload,
        r.payload_type,
        r.concurrency_key or "",
        r.priority,
        r.ttl_ms,
        r.max_attempts,
        r.max_duration_ms,
        r.parent_id,
        r.root_id,
        r.depth,
        r.trigger_function,
        r.batch_id,
        r.schedule_id,
        r.idempotency_key,
        r.idempotency_display,
        r.is_test,
        r.is_replay,
        r.idempotency_scope,
        r.peak_memory,
        r.traceparent,
        r.tracestate,
        r.usage_before,
        r.cost,
        r.base_cost,
    )


def changed_run(r: Run) -> tuple[Any, ...]:
    """Bind `update_run`: the columns that change, then seq."""
    return (
        r.status,
        r.queue,
        r.updated_at,
        r.rev,
        r.ready,
        r.due_at,
        r.score,
        r.token,
        r.attempt,
        r.worker,
        r.version,
        r.resuming,
        r.cancel_requested,
        r.has_ops,
        r.usage_ms,
        r.queued_at,
        r.started_at,
        r.attempt_started_at,
        r.finished_at,
        r.delayed_until,
        r.expires_at,
        r.expired_at,
        r.output,
        r.output_type,
        _text(r.error),
        _text(r.metadata),
        _text(r.tags) if r.tags else None,
        r.machine,
        r.peak_memory,
        r.usage_before,
        r.cost,
        r.base_cost,
        r.seq,
    )


def changed_input(r: Run) -> tuple[Any, ...]:
    """Bind `update_input`."""
    return (r.payload, r.payload_type, r.max_attempts, r.max_duration_ms, r.seq)


_RUN_STATUS, _RUN_ERROR, _RUN_METADATA, _RUN_TAGS, _RUN_CK = 3, 28, 29, 30, 34
_RUN_FLAGS = (8, 15, 16, 17, 47, 48)


@_checked
def run(row: tuple[Any, ...]) -> Run:
    """Read a row of `runs`."""
    values = list(row)
    values[_RUN_STATUS] = _STATUS[values[_RUN_STATUS]]
    for index in _RUN_FLAGS:
        values[index] = values[index] == 1
    if values[_RUN_ERROR] is not None:
        values[_RUN_ERROR] = _json.loads(values[_RUN_ERROR])
    if values[_RUN_METADATA] is not None:
        values[_RUN_METADATA] = _json.loads(values[_RUN_METADATA])
    values[_RUN_TAGS] = _json.loads(values[_RUN_TAGS]) if values[_RUN_TAGS] is not None else []
    values[_RUN_CK] = values[_RUN_CK] or None
    return Run(*values)


def changed_queue(q: Queue) -> tuple[Any, ...]:
    """Bind `update_queue`."""
    return (q.concurrency_limit, q.updated_at, q.override_limit, q.overridden_at, q.paused_at, q.name)


def new_op(op: OpRow) -> tuple[Any, ...]:
    result = _json.dumps(op.result) if op.done else None
    heard = None if op.heard is None else _json.dumps(op.heard)
    return (
        *(op.run_id, op.attempt, op.op, op.n, op.kind, op.target, op.done, result, op.ref, op.due_at),
        *(False, heard, op.done_at),
    )


def completed_op(op: OpRow) -> tuple[Any, ...]:
    return (_json.dumps(op.result), op.done_at, op.run_id, op.attempt, op.op)


@_checked
def op(row: tuple[Any, ...]) -> OpRow:
    values = [*row[:10], _value(row[11]), row[12]]
    values[6] = row[6] == 1
    values[7] = _value(row[7])
    return OpRow(*values)


def new_batch(b: Batch, idempotency_expires_at: int | None) -> tuple[Any, ...]:
    return (
        b.id,
        b.run_count,
        b.created_at,
        b.updated_at,
        b.sealed,
        b.accepted,
        b.remaining,
        b.status,
        b.idempotency_key,
        b.parent_id,
        b.completed_at,
        idempotency_expires_at,
    )


@_checked
def batch(row: tuple[Any, ...]) -> Batch:
    values = list(row[:11])
    values[4] = row[4] == 1
    return Batch(*values)


def new_token(t: Token) -> tuple[Any, ...]:
    return (
        t.id,
        t.status,
        t.created_at,
        t.timeout_at,
        t.completed_at,
        t.idempotency_key,
        t.idempotency_expires_at,
        _text(t.tags) if t.tags else None,
        t.output,
        t.output_type,
        t.output_is_error,
    )


@_checked
def token(row: tuple[Any, ...]) -> Token:
    values = list(row)
    values[7] = _value(row[7]) or []
    values[10] = row[10] == 1
    return Token(*values)


def new_schedule(s: Schedule) -> tuple[Any, ...]:
    return (
        s.id,
        s.task,
        s.cron,
        s.timezone,
        s.type,
        s.active,
        s.next_at,
        s.last_at,
        s.deduplication_key,
        s.external_id,
    )


@_checked
def schedule(row: tuple[Any, ...]) -> Schedule:
    values = list(row)
    values[5] = row[5] == 1
    return Schedule(*values)


@_checked
def variable(row: tuple[Any, ...]) -> Variable:
    name, value, is_secret, updated_at = row
    return Variable(name, value, is_secret == 1, updated_at)


@_checked
def log(row: tuple[Any, ...]) -> LogEntry:
    values = list(row)
    values[7] = _value(row[7])
    return LogEntry(*values)


def new_log(e: LogEntry) -> tuple[Any, ...]:
    data = _text(e.data) if e.data else None
    return (e.run, e.attempt, e.at, e.stream, e.level, e.message, data, e.span)


def new_span(s: Span) -> tuple[Any, ...]:
    return (
        s.run,
        s.id,
        s.attempt,
        s.parent,
        s.name,
        s.kind,
        s.started_ns,
        s.ended_ns,
        s.error,
        _text(s.attributes) if s.attributes else None,
        _text(s.events) if s.events else None,
    )


@_checked
def span(row: tuple[Any, ...]) -> Span:
    """Read the columns of `spans` behind seq."""
    values = list(row)
    values[9], values[10] = _value(row[9]), _value(row[10])
    return Span(*values)
