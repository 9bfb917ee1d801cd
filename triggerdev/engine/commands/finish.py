"""How runs end, and what follows: the waiting parent, the batch, the descendants."""

from collections import Counter
from typing import Any

from triggerdev.engine import transitions
from triggerdev.engine.context import Context
from triggerdev.engine.model import Batch, Run, Status
from triggerdev.engine.store.protocol import OpRow
from triggerdev.engine.transitions import Event
from triggerdev.protocol import ChildResult, ErrorInfo

RESUME_BOOST = 10**14  # a woken run goes ahead of every new one
_PAGE = 500
CANCELED: ErrorInfo = {"type": "STRING_ERROR", "raw": "Canceled by user"}


def finish(ctx: Context, run: Run, event: Event, error: ErrorInfo | None = None) -> None:
    """Bring a run to its end. What follows from it is done by `settle`, once for the whole command."""
    transitions.move(run, event, ctx.now)
    run.error = error
    run.finished_at = ctx.now
    run.ready = run.resuming = False
    run.due_at = None
    run.worker = None
    ctx.save(run)
    ctx.event("finished", run, error=error)
    ctx.finished.append(run)
    ctx.effects.pump = True
    ctx.crash_points("finish")


def settle(ctx: Context) -> None:
    """Carry out what the runs that ended in this command mean for others, and theirs for others again."""
    while ctx.finished:
        ended, ctx.finished = ctx.finished, []
        with_ops = [run.id for run in ended if run.has_ops]
        if with_ops:
            ctx.tx.delete_ops(with_ops)
        by_id = {run.id: run for run in ended}
        for op in ctx.tx.pending_ops(list(by_id)):
            complete_op(ctx, op, child_result(by_id[op.ref or ""]))
        _count_down(ctx, ended)


def child_result(run: Run) -> ChildResult:
    """Describe a finished run for the one who waited for it."""
    if run.status is Status.COMPLETED:
        return {
            "ok": True,
            "id": run.id,
            "task": run.task,
            "output": run.output,
            "output_type": run.output_type,
        }
    return {"ok": False, "id": run.id, "task": run.task, "error": run.error or final_error(run)}


def final_error(run: Run) -> ErrorInfo:
    """Give a failed run without a recorded error one that says how it ended."""
    return {"type": "STRING_ERROR", "raw": f"Run ended as {run.status.public_name}"}


def complete_op(ctx: Context, op: OpRow, result: Any) -> None:
    """Record an operation's result and bring it to its run: in place if it executes, else by waking it."""
    op.done = True
    op.result = result
    op.done_at = ctx.now if op.due_at is None else op.due_at
    ctx.tx.complete_ops([op])
    run = ctx.find(op.run_id)
    if run is None or run.attempt != op.attempt:
        return
    if run.status is Status.EXECUTING:
        message = {"t": "op_done", "run": run.id, "token": run.token, "op": op.op, "result": result}
        if run.metadata:
            message["metadata"] = run.metadata
        ctx.tell(run.worker, message)
    elif run.status is Status.WAITING:
        wake(ctx, run)
    elif run.resuming:  # woken by a timer of its own, which has to queue
        make_resumable(ctx, run)


def wake(ctx: Context, run: Run) -> None:
    """Let a waiting run continue as soon as it has a slot again, ahead of new runs."""
    transitions.move(run, Event.WAKE, ctx.now)
    make_resumable(ctx, run)
    ctx.crash_points("wake")


def wake_later(ctx: Context, run: Run) -> None:
    """Let a waiting run continue for a timer of its own code, behind the runs that are queued already.

    Runs that only look at the time must not take the slot from each other and from their own children.
    """
    wake(ctx, run)
    run.score = ctx.now - round(run.priority * 1000)


def make_resumable(ctx: Context, run: Run) -> None:
    run.ready = run.resuming = True
    run.score = (run.queued_at or run.created_at) - round(run.priority * 1000) - RESUME_BOOST
    run.due_at = None
    ctx.save(run)
    ctx.effects.pump = True


def _count_down(ctx: Context, ended: list[Run]) -> None:
    counts = Counter(run.batch_id for run in ended if run.batch_id)
    counts.update(ctx.tx.take_watchers([run.id for run in ended]))
    if not counts:
        return
    for batch in ctx.tx.get_batches(counts).values():
        batch.remaining -= counts[batch.id]
        batch.updated_at = ctx.now
        close_if_done(ctx, batch)
        ctx.tx.update_batches([batch])


def close_if_done(ctx: Context, batch: Batch) -> None:
    """Complete a sealed batch whose runs are all final, and bring the results to the one who waits."""
    if not batch.sealed or batch.remaining > 0 or batch.completed_at is not None:
        return
    problems = {problem.index: problem for problem in ctx.tx.batch_errors(batch.id)}
    batch.status = "PARTIAL_FAILED" if problems else "COMPLETED"
    batch.completed_at = ctx.now
    waiting = ctx.tx.pending_ops([batch.id])
    if waiting:
        result = batch_result(ctx, batch)
        for op in waiting:
            complete_op(ctx, op, result)


def batch_result(ctx: Context, batch: Batch) -> dict[str, Any]:
    """Collect the results of a batch's runs in the order of its items."""
    ctx.flush()
    items = ctx.tx.batch_items(batch.id)
    ctx.preload(run_id for _, run_id in items if run_id)
    results: list[ChildResult] = []
    problems = {problem.index: problem for problem in ctx.tx.batch_errors(batch.id)}
    for index, run_id in items:
        if run_id is not None:
            results.append(child_result(ctx.run(run_id)))
        else:
            problem = problems[index]
            error: ErrorInfo = {
                "type": "INTERNAL_ERROR",
                "code": "BATCH_ITEM_COULD_NOT_TRIGGER",
                "message": problem.error,
            }
            results.append({"ok": False, "id": "", "task": problem.task, "error": error})
    return {"id": batch.id, "runs": results}


def cancel(ctx: Context, run_id: str, reason: ErrorInfo = CANCELED) -> None:
    """Cancel a run, its children that have not ended, their children that have not ended, and so on.

    A run that is final stays as it is, and so does what it has triggered and left behind. A run that
    executes ends when its worker has let go of it; until then no operation of it is accepted.
    """
    first = ctx.run(run_id)
    if first.status.is_final:
        return
    ctx.crash_points("cancel")
    todo = [first]
    while todo:
        run = todo.pop()
        if not run.status.is_final and not run.cancel_requested:
            _cancel_one(ctx, run, reason)
        children = _uncancelled_children(ctx, run)
        if len(children) == _PAGE:
            todo.append(run)
        todo.extend(children)


def _cancel_one(ctx: Context, run: Run, reason: ErrorInfo) -> None:
    parked = run.status is Status.WAITING or run.resuming
    if run.status is Status.EXECUTING or (parked and run.worker):
        message = {"t": "cancel", "run": run.id, "token": run.token, "reason": "cancelled"}
        ctx.tell(run.worker, message)
    run.cancel_requested = True
    if run.status is Status.EXECUTING:
        ctx.save(run)
    else:
        finish(ctx, run, Event.CANCEL, reason)


def _uncancelled_children(ctx: Context, run: Run) -> list[Run]:
    ctx.flush()
    return ctx.adopt(ctx.tx.uncancelled_children(run.id, _PAGE))
