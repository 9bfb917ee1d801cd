"""What happens by itself when its time comes, and after a restart."""

from triggerdev import errors
from triggerdev.engine import options as wire
from triggerdev.engine import transitions
from triggerdev.engine.commands import attempts, batches, finish, schedules, tokens
from triggerdev.engine.commands.trigger import enqueue
from triggerdev.engine.context import Context
from triggerdev.engine.model import Run, Status
from triggerdev.engine.transitions import Event

_PAGE = 500
LOST = 0  # the end of a lease that cannot be renewed: some of its runs have been taken over


def tick(ctx: Context) -> bool:
    """Carry out what is due. True if there may be more: tick again at once."""
    runs = ctx.adopt(ctx.tx.due_runs(ctx.now, _PAGE))
    for run in runs:
        _run_due(ctx, run)
    ops = ctx.tx.due_ops(ctx.now, _PAGE)
    ctx.preload(op.run_id for op in ops)
    for op in ops:
        finish.complete_op(ctx, op, None)
    timed_out = ctx.tx.due_tokens(ctx.now, _PAGE)
    for token in timed_out:
        tokens.time_out(ctx, token)
    more = schedules.fire_due(ctx)
    batches.abort_stale(ctx)
    return more or _PAGE in (len(runs), len(ops), len(timed_out))


def _run_due(ctx: Context, run: Run) -> None:
    if run.status is Status.DELAYED:
        transitions.move(run, Event.DUE, ctx.now)
        enqueue(ctx, run)
        ctx.crash_points("delay")
        ctx.save(run)
    elif run.status is Status.RETRYING:
        run.ready = True
        run.due_at = None
        ctx.effects.pump = True
        ctx.save(run)
    elif run.status is Status.WAITING:
        finish.wake_later(ctx, run)
    elif run.status is Status.PENDING and run.expires_at is not None and run.attempt == 0:
        _expire(ctx, run)
    else:
        run.due_at = None
        ctx.save(run)


def _expire(ctx: Context, run: Run) -> None:
    run.expired_at = ctx.now
    text = _span(run.ttl_ms or 0)
    error = f"Run expired because the TTL ({text}) was reached"
    finish.finish(ctx, run, Event.EXPIRE, {"type": "STRING_ERROR", "raw": error})
    ctx.crash_points("expire")


def _span(ms: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms // 1000}s"


def reschedule(ctx: Context, run_id: str, delay: str) -> None:
    """Give a delayed run another time. Raises EngineError if it is not delayed, InvalidOptionError."""
    run = ctx.run(run_id)
    if run.status is not Status.DELAYED:
        raise errors.EngineError("Cannot reschedule a run that is not delayed")
    until = wire.delay_until(delay, ctx.now)
    run.delayed_until = run.due_at = until if until is not None else ctx.now
    run.updated_at = ctx.now
    ctx.save(run)
    ctx.wake_at(run.due_at)


def recover(ctx: Context, worker: str | None) -> bool:
    """Take over the runs of a worker that is gone (None: of all). True if there may be more.

    What it executed goes on elsewhere at once; what it kept parked, when it is woken: both from their record.
    """
    ctx.tx.leave_worker(worker)
    runs = ctx.adopt(ctx.tx.executing_runs(worker, _PAGE))
    for run in runs:
        attempts.lose(ctx, run)
    ctx.crash_points("recover")
    return len(runs) == _PAGE


def sweep(ctx: Context, alive: list[str], lease_ms: int) -> bool:
    """Renew the leases of connected workers and take over the runs of others. True if there may be more."""
    renew(ctx, alive, lease_ms)
    return take_expired(ctx, ctx.now)


def take_expired(ctx: Context, before: int) -> bool:
    """Take over the runs of workers whose lease ended before a time. True if there may be more."""
    more = False
    for worker in ctx.tx.expired_workers(before):
        if recover(ctx, worker):
            ctx.tx.put_worker(worker, LOST)
            more = True
        else:
            ctx.tx.delete_worker(worker)
    return more


def renew(ctx: Context, workers: list[str], lease_ms: int) -> None:
    """Let the leases of workers end `lease_ms` from now."""
    for worker in workers:
        ctx.tx.put_worker(worker, ctx.now + lease_ms)
    ctx.crash_points("sweep")
