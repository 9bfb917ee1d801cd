"""Batches over HTTP: created first, filled by a stream of items, sealed when all have come."""

from triggerdev import errors
from triggerdev._traces import TraceContext
from triggerdev.engine import options as wire
from triggerdev.engine.commands import finish
from triggerdev.engine.commands.trigger import Origin, trigger_many
from triggerdev.engine.context import Context
from triggerdev.engine.model import (
    Batch,
    BatchCreated,
    BatchError,
    ItemsAccepted,
    TriggerItem,
    TriggerResult,
)

MAX_ITEMS = 1000
STALE_AFTER_MS = 30 * 60_000


def create(
    ctx: Context, run_count: int, key: str | None, key_ttl_ms: int | None, parent_id: str | None
) -> BatchCreated:
    """Announce a batch of `run_count` runs. A known idempotency key answers with its batch."""
    if not 1 <= run_count <= MAX_ITEMS:
        raise errors.InvalidOptionError(f"runCount: {run_count}; a batch has 1 to {MAX_ITEMS} items.")
    if key is not None:
        known = ctx.tx.batch_by_key(key, ctx.now)
        if known is not None:
            return BatchCreated(known.id, known.run_count, is_cached=True)
    batch = Batch(ctx.new_id("batch"), run_count, ctx.now, ctx.now, idempotency_key=key, parent_id=parent_id)
    lifetime = wire.DEFAULT_IDEMPOTENCY_TTL_MS if key_ttl_ms is None else key_ttl_ms
    ctx.tx.insert_batch(batch, ctx.now + lifetime if key is not None else None)
    ctx.crash_points("batch")
    return BatchCreated(batch.id, run_count, is_cached=False)


def add_items(
    ctx: Context, batch_id: str, items: list[TriggerItem], caller: TraceContext | None = None
) -> ItemsAccepted:
    """Make the runs of items that the batch does not have yet; an item that cannot be triggered is noted."""
    batch = get(ctx, batch_id)
    if batch.sealed:
        return ItemsAccepted(0, len(items), sealed=True)
    if batch.completed_at is not None:
        raise errors.EngineError(f"Batch {batch_id!r} is {batch.status}: its items did not come in time.")
    known = ctx.tx.batch_indexes(batch_id)
    fresh: list[TriggerItem] = []
    for item in items:
        if item.index is None or not 0 <= item.index < batch.run_count:
            raise errors.InvalidOptionError(
                f"index: {item.index!r} is not within 0 to {batch.run_count - 1}."
            )
        if item.index not in known:
            known.add(item.index)
            fresh.append(item)
    parent = ctx.find(batch.parent_id) if batch.parent_id else None
    fill(ctx, batch, fresh, Origin("batchTrigger", parent=parent, batch_id=batch_id, trace=caller))
    if batch.accepted >= batch.run_count:
        seal(ctx, batch)
    ctx.tx.update_batches([batch])
    return ItemsAccepted(len(fresh), len(items) - len(fresh), batch.sealed)


def fill(ctx: Context, batch: Batch, items: list[TriggerItem], origin: Origin) -> list[str | None]:
    """Trigger items into a batch; returns their run ids, None where one could not be triggered."""
    made, problems = _trigger_each(ctx, items, origin)
    ctx.flush()
    rows: list[tuple[int, str | None]] = []
    for item, result in zip(items, made, strict=True):
        assert item.index is not None
        rows.append((item.index, result.id if result else None))
        if result is not None:
            _count(ctx, batch, result)
    ctx.tx.insert_batch_items(batch.id, rows)
    if problems:
        ctx.tx.insert_batch_errors(batch.id, problems)
    batch.accepted += len(items)
    batch.updated_at = ctx.now
    ctx.crash_points("items")
    return [run_id for _, run_id in rows]


def _trigger_each(
    ctx: Context, items: list[TriggerItem], origin: Origin
) -> tuple[list[TriggerResult | None], list[BatchError]]:
    try:
        return [*trigger_many(ctx, items, origin)], []
    except errors.EngineError:
        pass  # at least one is wrong: nothing was written yet, so each goes alone
    made: list[TriggerResult | None] = []
    problems = []
    for item in items:
        try:
            made.extend(trigger_many(ctx, [item], origin))
        except errors.EngineError as error:
            assert item.index is not None
            made.append(None)
            problems.append(BatchError(item.index, item.task, str(error)))
    return made, problems


def _count(ctx: Context, batch: Batch, result: TriggerResult) -> None:
    if result.is_new:
        batch.remaining += 1
        return
    run = ctx.run(result.id)
    if not run.status.is_final:
        batch.remaining += 1
        ctx.tx.watch_for_batch(run.id, batch.id)


def seal(ctx: Context, batch: Batch) -> None:
    """Close a batch for further items."""
    batch.sealed = True
    batch.status = "PROCESSING"
    ctx.crash_points("seal")
    finish.close_if_done(ctx, batch)


def get(ctx: Context, batch_id: str) -> Batch:
    """Load a batch. Raises NoSuchRunError."""
    batch = ctx.tx.get_batches([batch_id]).get(batch_id)
    if batch is None:
        raise errors.NoSuchRunError(f"Batch {batch_id!r} not found.")
    return batch


def retrieve(ctx: Context, batch_id: str) -> Batch:
    """Load a batch with its run ids and problems."""
    batch = get(ctx, batch_id)
    batch.runs = [run_id for _, run_id in ctx.tx.batch_items(batch_id) if run_id]
    batch.errors = ctx.tx.batch_errors(batch_id)
    return batch


def abort_stale(ctx: Context) -> None:
    """End batches whose items did not all come within half an hour; who waits for one is told."""
    for batch in ctx.tx.stale_batches(ctx.now - STALE_AFTER_MS):
        batch.status = "ABORTED"
        batch.completed_at = batch.updated_at = ctx.now
        ctx.tx.update_batches([batch])
        why = f"Batch {batch.id!r} is ABORTED: its items did not come in time."
        for op in ctx.tx.pending_ops([batch.id]):
            finish.complete_op(ctx, op, {"error": why, "error_kind": "EngineError"})
