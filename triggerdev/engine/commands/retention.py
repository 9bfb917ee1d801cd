"""Retention: what is finished for long enough is deleted, in small steps.

A run goes with its lines, spans and idempotency key once nothing needs it any more: no child of it is left,
its parent is final, its key no longer holds, and each batch that counts it is complete (and no key of the
batch holds). So a tree goes from its leaves, and parent and root of a run are always there. A batch goes when
its runs are gone, a finished token with the runs of its time, unless a live run has made it.
"""

from dataclasses import dataclass, replace
from typing import Literal

from triggerdev.engine.context import Context
from triggerdev.engine.store.protocol import Kind

MOST = 200  # rows of a step; log lines and spans count as such, items of a batch do not
_LOCK = "retention"
_START = (-1, "")

_LANE_MS = 86_400_000  # without a turn for a day, a lane counts as one that never had one

Stage = Literal["requests", "lanes", "logs", "spans", "runs", "batches", "tokens"]
_NEXT: dict[Stage, Stage] = {
    "requests": "lanes",
    "lanes": "logs",
    "logs": "spans",
    "spans": "runs",
    "runs": "batches",
    "batches": "tokens",
}


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished runs, and log lines and spans, are kept, in ms; None: for ever."""

    runs_ms: int | None = None
    logs_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a pass has come. `deleted`: so many rows of this kind since it began with them."""

    stage: Stage = "requests"
    after: tuple[int, str] = _START
    deleted: int = 0


def step(ctx: Context, keep: Retention, at: Position, limit: int = MOST) -> Position | None:
    """Delete at most `limit` rows; tells where to go on, None at the end of a pass.

    A pass that another server is at ends at once.
    """
    if not ctx.tx.try_lock(_LOCK):
        return None
    if at.stage == "requests":
        return _lines(at, ctx.tx.delete_expired_requests(ctx.now, limit))
    if at.stage == "lanes":
        return _lines(at, ctx.tx.delete_idle_lanes(ctx.now - _LANE_MS, limit))
    if at.stage == "logs" or at.stage == "spans":
        delete = ctx.tx.delete_old_logs if at.stage == "logs" else ctx.tx.delete_old_spans
        return _lines(at, 0 if keep.logs_ms is None else delete(ctx.now - keep.logs_ms, limit))
    if keep.runs_ms is None:
        return None
    return _finished(ctx, at.stage, ctx.now - keep.runs_ms, at, limit)


def _lines(at: Position, deleted: int) -> Position | None:
    return replace(at, deleted=at.deleted + deleted) if deleted else _next(at)


def _finished(ctx: Context, kind: Kind, before: int, at: Position, limit: int) -> Position | None:
    found = ctx.tx.finished(kind, before, at.after, limit)
    if not found:
        # Runs that were kept for what has been deleted meanwhile can go now.
        return Position(kind) if at.deleted and kind == "runs" else _next(at)
    ids = [each for _, each in found]
    needed = ctx.tx.needed(kind, ids, ctx.now)
    free = [each for each in ids if each not in needed]
    if kind == "runs" and free and _delete_beside(ctx, free, limit):
        return at
    if free:
        ctx.tx.delete(kind, free)
        ctx.crash_points("retention")
    return Position(kind, found[-1], at.deleted + len(free))


def _delete_beside(ctx: Context, runs: list[str], limit: int) -> bool:
    """Delete lines and spans of runs; true if there may be more of them."""
    return limit in (ctx.tx.delete_logs_of(runs, limit), ctx.tx.delete_spans_of(runs, limit))


def _next(at: Position) -> Position | None:
    stage = _NEXT.get(at.stage)
    return Position(stage) if stage else None
