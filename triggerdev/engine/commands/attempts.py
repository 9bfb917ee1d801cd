"""Attempts: claiming runs for a worker, and what the worker says of them."""

from collections.abc import Sequence
from typing import Any

from triggerdev.engine import retry, transitions
from triggerdev.engine.commands import finish, traces
from triggerdev.engine.context import Context
from triggerdev.engine.model import Run, Status
from triggerdev.engine.store.protocol import Capacity, OpRow
from triggerdev.engine.transitions import Event
from triggerdev.protocol import DEFAULT_MACHINE, ErrorInfo, Message, OpRecord, RunStart

_OUT_OF_MEMORY: ErrorInfo = {"type": "INTERNAL_ERROR", "code": "TASK_PROCESS_OOM_KILLED"}
_TIMED_OUT: ErrorInfo = {"type": "INTERNAL_ERROR", "code": "MAX_DURATION_EXCEEDED"}


def claim(ctx: Context, worker: str, capacities: Sequence[Capacity], limit: int | None = None) -> int:
    """Give a worker the runs whose turn it is, as far as it has room; returns how many.

    `limit`: how many runs may execute at the same time in all queues together, wherever that is.
    """
    ready = ctx.tx.ready_runs(capacities, limit)
    runs = ctx.adopt(ready.runs)
    for run in runs:
        _claim_one(ctx, run, worker)
    if runs:  # lanes in the order of their last turns
        lanes = dict.fromkeys((run.queue, run.concurrency_key or "") for run in reversed(runs))
        ctx.tx.serve(list(reversed(lanes)), ctx.now)
    ctx.effects.pump_soon = ctx.effects.pump_soon or ready.is_cut
    return len(runs)


def _claim_one(ctx: Context, run: Run, worker: str) -> None:
    parked_at = run.worker if run.resuming else None
    old_token = run.token
    transitions.move(run, Event.CLAIM, ctx.now)
    run.ready = False
    run.due_at = None
    run.token += 1
    run.worker = worker
    if parked_at == worker:
        ops = [op_record(op) for op in ctx.tx.take_fresh_ops(run.id, run.attempt)]
        message: Message = {
            "t": "resume",
            "run": run.id,
            "old": old_token,
            "token": run.token,
            "ops": ops,
        }
        if run.metadata:
            message["metadata"] = run.metadata
        ctx.event("resumed", run)
        ctx.crash_points("resume")
    else:
        ctx.tell(parked_at, {"t": "evict", "run": run.id, "token": old_token})
        _begin(ctx, run)
        message = {"t": "start", "run": start_message(ctx, run)}
        ctx.event("resumed" if run.resuming else "started", run)
        ctx.crash_points("claim")
    run.resuming = False
    ctx.save(run)
    ctx.tell(worker, message)


def _begin(ctx: Context, run: Run) -> None:
    if not run.resuming:
        run.attempt += 1
        run.attempt_started_at = ctx.now
        run.usage_before = run.usage_ms
    if run.started_at is None:
        run.started_at = ctx.now
        run.base_cost = ctx.prices.per_run
    run.version = ctx.tasks.version


def start_message(ctx: Context, run: Run) -> RunStart:
    """Describe an attempt for the worker, with its record when it goes on from one."""
    ops = ctx.tx.get_ops(run.id, run.attempt) if run.has_ops and run.resuming else []
    message: RunStart = {
        "id": run.id,
        "token": run.token,
        "task": run.task,
        "attempt": run.attempt,
        "version": run.version or "",
        "payload": run.payload,
        "payload_type": run.payload_type,
        "metadata": run.metadata or {},
        "tags": run.tags,
        "queue": run.queue,
        "machine": run.machine or DEFAULT_MACHINE,
        "max_duration_ms": run.max_duration_ms,
        "usage_ms": run.usage_ms,
        "max_attempts": run.max_attempts or ctx.tasks.policy(run.task).get("max_attempts", 3),
        "priority": run.priority,
        "created_at": run.created_at,
        "started_at": run.started_at or ctx.now,
        "attempt_started_at": run.attempt_started_at or ctx.now,
        "idempotency_key": run.idempotency_display,
        "idempotency_key_scope": run.idempotency_scope,
        "parent_id": run.parent_id,
        "root_id": run.root_id,
        "batch_id": run.batch_id,
        "depth": run.depth,
        "is_test": run.is_test,
        "is_replay": run.is_replay,
        "record": [replayed_record(op) for op in ops],
        "usage_before": run.usage_before,
        "cost": run.cost,
        "base_cost": run.base_cost,
        "traceparent": run.traceparent,
        "tracestate": run.tracestate,
    }
    if run.resuming:
        message["resumed"] = True
        message["open_spans"] = ctx.tx.open_spans(run.id, run.attempt)
    larger = retry.larger_machine(run, _OUT_OF_MEMORY, ctx.tasks.policy(run.task))
    if larger is not None:
        message["larger_machine"] = larger
    return message


def op_record(op: OpRow) -> OpRecord:
    """Describe a recorded operation for the worker."""
    record: OpRecord = {"op": op.op, "kind": op.kind, "target": op.target, "done": op.done}
    if op.done:
        record["result"] = op.result
    return record


def replayed_record(op: OpRow) -> OpRecord:
    """Describe a recorded operation for a replay, with what gives it its place in time."""
    record = op_record(op)
    if op.heard is not None:
        record["heard"] = op.heard
    if op.done_at is not None:
        record["at"] = op.done_at
    return record


def holder(ctx: Context, message: Message) -> Run | None:
    """Find the run that a message speaks of, if the sender still holds its lease.

    It does so too while a run that it keeps parked was woken and queues for its slot.
    """
    run = ctx.find(message["run"])
    if run is None or run.token != message["token"]:
        return None
    if run.status is Status.PENDING:
        return run if run.resuming and run.worker is not None else None
    held = run.status is Status.EXECUTING or run.status is Status.WAITING
    return run if held else None


def done(ctx: Context, message: Message) -> bool:
    """End an attempt: complete, retry or fail its run. False if the lease is no longer held."""
    run = holder(ctx, message)
    if run is None:
        return False
    _use(ctx, run, message)
    if "peak_memory" in message:
        run.peak_memory = max(run.peak_memory or 0, message["peak_memory"])
    outcome = message["outcome"]
    if run.cancel_requested or outcome == "cancelled":
        finish.finish(ctx, run, Event.CANCEL, finish.CANCELED)
    elif outcome == "ok":
        run.output = message.get("output")
        run.output_type = message.get("output_type", "application/json")
        finish.finish(ctx, run, Event.COMPLETE)
    elif outcome == "timed_out":
        finish.finish(ctx, run, Event.TIME_OUT, message.get("error") or _TIMED_OUT)
    else:
        _failed(ctx, run, message)
    return True


def _use(ctx: Context, run: Run, message: Message) -> None:
    """Note the compute time that a run has used, and what it cost on the machine that it has."""
    more = message.get("usage_ms", 0) - run.usage_ms
    if more > 0:
        run.usage_ms += more
        run.cost += more * ctx.prices.per_ms(run.machine or DEFAULT_MACHINE)


def _failed(ctx: Context, run: Run, message: dict[str, Any]) -> None:
    error, policy = message["error"], ctx.tasks.policy(run.task)
    again = retry.retry_at(run, message, policy, ctx.now, ctx.rng)
    if again is None:
        finish.finish(ctx, run, retry.final_event(error), error)
        return
    traces.end_attempt(ctx, run, error)
    transitions.move(run, Event.RETRY, ctx.now)
    run.error = error
    run.machine = retry.larger_machine(run, error, policy) or run.machine
    run.worker = None
    run.ready = run.resuming = False
    run.due_at = again
    if run.has_ops:
        ctx.tx.delete_ops([run.id])
        run.has_ops = False
    ctx.save(run)
    ctx.wake_at(again)
    ctx.effects.pump = True
    ctx.event("retrying", run, error=error, retry_at=again)
    ctx.crash_points("retry")


def park(ctx: Context, message: Message) -> bool:
    """Take back the slot of a run whose branches all wait; if one need not wait any more, wake it at once.

    A timer of its own code wakes it at `wake_at`, also if the timer's process is gone by then.
    A run that is being cancelled does not park: its worker will say next that it has ended.
    """
    run = holder(ctx, message)
    if run is None or run.status is not Status.EXECUTING:
        return False
    _use(ctx, run, message)
    if run.cancel_requested:
        ctx.save(run)
        return True
    transitions.move(run, Event.PARK, ctx.now)
    run.due_at = message.get("wake_at")
    ctx.wake_at(run.due_at)
    ctx.save(run)
    ctx.effects.pump = True
    ctx.crash_points("park")
    waits_for = [ctx.tx.get_op(run.id, run.attempt, op) for op in message["ops"]]
    done = [op for op in waits_for if op is not None and op.done]
    if done:
        # They come with the next resume, also those that came when a replay had not asked for them again yet.
        ctx.tx.complete_ops(done)
        finish.wake(ctx, run)
    else:
        ctx.event("waiting", run)
    return True


def wake(ctx: Context, message: Message) -> None:
    """Give a parked run a slot again for a timer that the engine did not know of."""
    run = holder(ctx, message)
    if run is not None and run.status is Status.WAITING:
        finish.wake_later(ctx, run)


def evicted(ctx: Context, message: Message) -> bool:
    """Note that a parked run has left its process; it will start from its record."""
    run = ctx.find(message["run"])
    if run is None or run.token != message["token"] or run.status.is_final:
        return False
    if run.status is Status.EXECUTING:
        lose(ctx, run)
    else:
        run.worker = None
        ctx.save(run)
    ctx.crash_points("evict")
    return True


def lost(ctx: Context, message: Message) -> None:
    """Take over runs whose process is gone through no fault of theirs: the same attempts go on."""
    ctx.preload(run_id for run_id, _ in message["runs"])
    for run_id, token in message["runs"]:
        evicted(ctx, {"run": run_id, "token": token})


def lose(ctx: Context, run: Run) -> None:
    """Put an executing run back to be claimed again: the same attempt, from its record."""
    run.worker = None
    if run.cancel_requested:
        finish.finish(ctx, run, Event.CANCEL, finish.CANCELED)
        return
    transitions.move(run, Event.LOSE, ctx.now)
    finish.make_resumable(ctx, run)
