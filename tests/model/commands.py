"""What can be done to an engine, by name; each is one transaction of the real commands."""

from collections.abc import Callable
from typing import Any

from triggerdev.engine import messages
from triggerdev.engine.commands import (
    attempts,
    batches,
    finish,
    operations,
    queues,
    requests,
    retention,
    schedule_calls,
    schedules,
    timers,
    tokens,
)
from triggerdev.engine.commands import trigger as triggering
from triggerdev.engine.commands.retention import Retention
from triggerdev.engine.context import Context
from triggerdev.engine.model import Run, RunFilter, Schedule, ScheduleOptions, TokenFilter, TriggerItem
from triggerdev.engine.store.protocol import Capacity
from triggerdev.engine.tasks import TaskTable
from triggerdev.protocol import Manifest, Message


def activate(ctx: Context, version: str, manifest: Manifest) -> None:
    """Make a version the current one, as `Engine.activate` does."""
    ctx.tasks = TaskTable(version, manifest)
    schedules.register(ctx, manifest, "DEVELOPMENT")
    queues.register(ctx, manifest)


def claim(ctx: Context, worker: str, room: int, sync_room: int, limit: int | None = None) -> int:
    """Give a worker runs, as the dispatcher does."""
    pairs = ((ctx.tasks.async_ids, room), (ctx.tasks.sync_ids, sync_room))
    return attempts.claim(ctx, worker, [Capacity(ids, count) for ids, count in pairs], limit)


def tick(ctx: Context) -> bool:
    more = timers.tick(ctx)
    finish.settle(ctx)
    ctx.flush()
    ctx.wake_at(ctx.tx.next_due(scheduled=ctx.tasks.scheduled_ids))
    return more


def say(ctx: Context, worker: str, frame: list[Message]) -> None:
    messages.handle(ctx, worker, frame)


def trigger(ctx: Context, task: str, payload: str | None, options: dict[str, Any]) -> Any:
    return triggering.trigger(ctx, TriggerItem(task, payload, options=options))


def add_items(ctx: Context, batch: str, items: list[tuple[int, str, dict[str, Any]]]) -> Any:
    made = [TriggerItem(task, None, options=options, index=index) for index, task, options in items]
    return batches.add_items(ctx, batch, made)


def add_tags(ctx: Context, run: str, tags: list[str]) -> int:
    return operations.add_tags(ctx, ctx.run(run), tags)


def change_metadata(ctx: Context, run: str, args: dict[str, Any]) -> dict[str, Any]:
    return operations.change_metadata(ctx, ctx.run(run), args)


def reset_key(ctx: Context, task: str, key: str) -> None:
    requests.reset_key(ctx, task, key)


def recover(ctx: Context) -> bool:
    return timers.recover(ctx, None)


def sweep(ctx: Context, alive: list[str]) -> None:
    timers.sweep(ctx, alive, 30_000)


def clean(ctx: Context, runs_ms: int, logs_ms: int, limit: int) -> int:
    """Delete what is old, step by step to the end of a pass; tells how many steps it took."""
    keep, at, steps = Retention(runs_ms, logs_ms), retention.Position(), 0
    while (after := retention.step(ctx, keep, at, limit)) is not None:
        at, steps = after, steps + 1
    return steps


def create_token(ctx: Context, timeout: Any, name: str | None, ttl_ms: int | None, tags: list[str]) -> Any:
    return tokens.create(ctx, timeout, name, ttl_ms, tags)


def create_batch(ctx: Context, count: int, key: str | None, ttl_ms: int | None, parent: str | None) -> Any:
    return batches.create(ctx, count, key, ttl_ms, parent)


def count_up(ctx: Context, name: str) -> int:
    return ctx.tx.count_up(name)


def create_schedule(ctx: Context, task: str, cron: str, key: str | None) -> Schedule:
    return schedule_calls.create(ctx, ScheduleOptions(task, cron, "UTC", "ada", key))


def update_schedule(ctx: Context, schedule: str, task: str, cron: str) -> Schedule:
    return schedule_calls.update(ctx, schedule, ScheduleOptions(task, cron, "Asia/Kolkata"))


COMMANDS: dict[str, Callable[..., Any]] = {
    "activate": activate,
    "claim": claim,
    "tick": tick,
    "say": say,
    "trigger": trigger,
    "replay": triggering.replay,
    "reschedule": timers.reschedule,
    "cancel": finish.cancel,
    "add_tags": add_tags,
    "change_metadata": change_metadata,
    "reset_key": reset_key,
    "create_batch": create_batch,
    "add_items": add_items,
    "create_token": create_token,
    "complete_token": tokens.complete,
    "recover": recover,
    "sweep": sweep,
    "clean": clean,
    "count_up": count_up,
    "create_schedule": create_schedule,
    "update_schedule": update_schedule,
    "set_active": schedule_calls.set_active,
    "delete_schedule": schedule_calls.delete,
    "pause_queue": queues.pause,
    "override_queue": queues.override,
}


def list_runs(ctx: Context, where: RunFilter, size: int, after: str | None, before: str | None) -> list[Run]:
    """List a page; cursors are run ids here, since the numbers of runs are each store's own."""
    numbers = {run_id: run.seq for run_id, run in ctx.tx.get_runs(filter(None, (after, before))).items()}
    return ctx.tx.list_runs(where, size, numbers.get(after or ""), numbers.get(before or ""))


def list_tokens(ctx: Context, where: TokenFilter, size: int, after: str | None, before: str | None) -> Any:
    return ctx.tx.list_tokens(where, size, after, before)


def children(ctx: Context, run: str) -> list[Run]:
    return ctx.tx.children(run, 100)


def list_schedules(ctx: Context, size: int, offset: int, key: str) -> Any:
    found = ctx.tx.list_schedules(size, offset)
    return found, ctx.tx.count_schedules(), ctx.tx.schedule_by_key(key), ctx.tx.schedules("IMPERATIVE")


QUESTIONS: dict[str, Callable[..., Any]] = {
    "list_runs": list_runs,
    "list_tokens": list_tokens,
    "children": children,
    "list_schedules": list_schedules,
    "retrieve_batch": batches.retrieve,
    "find_token": tokens.find,
    "list_queues": queues.page,
    "retrieve_queue": queues.detail,
}
