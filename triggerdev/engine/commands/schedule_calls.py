"""Imperative schedules: made, changed and deleted by calls; a deduplication key names one for ever."""

from typing import Any

from triggerdev import _durations, errors
from triggerdev.engine import cron
from triggerdev.engine.commands.schedules import DECLARATIVE, IMPERATIVE, schedule_next
from triggerdev.engine.context import Context
from triggerdev.engine.model import Schedule, ScheduleOptions

_MAX_KEY = 512


def create(ctx: Context, options: ScheduleOptions) -> Schedule:
    """Make a schedule, or change the one that has its deduplication key. Raises InvalidOptionError."""
    _check(ctx, options)
    key = options.deduplication_key
    known = None if key is None else ctx.tx.schedule_by_key(key)
    if known is not None:
        return _change(ctx, known, options)
    schedule = Schedule(
        ctx.new_id("sched"),
        options.task,
        options.cron,
        options.timezone,
        IMPERATIVE,
        deduplication_key=key,
        external_id=options.external_id,
    )
    schedule_next(ctx, schedule)
    return schedule


def update(ctx: Context, schedule_id: str, options: ScheduleOptions) -> Schedule:
    """Give a schedule another task, cron, time zone and external id; its deduplication key stays.

    Raises NoSuchRunError, InvalidOptionError.
    """
    schedule = find(ctx, schedule_id)
    _refuse_declarative(schedule, "updated")
    _check(ctx, options)
    return _change(ctx, schedule, options)


def _change(ctx: Context, schedule: Schedule, options: ScheduleOptions) -> Schedule:
    before = schedule.cron, schedule.timezone
    schedule.task, schedule.external_id = options.task, options.external_id
    schedule.cron, schedule.timezone = options.cron, options.timezone
    if before == (schedule.cron, schedule.timezone):
        ctx.tx.put_schedule(schedule)
        _wake(ctx, schedule)
    else:
        schedule_next(ctx, schedule)
    return schedule


def set_active(ctx: Context, schedule_id: str, active: bool) -> Schedule:
    """Let a schedule run or rest; slots that pass while it rests are lost. Raises NoSuchRunError."""
    schedule = find(ctx, schedule_id)
    rested = active and not schedule.active
    schedule.active = active
    if rested and (schedule.next_at is None or schedule.next_at <= ctx.now):
        schedule_next(ctx, schedule)
    else:
        ctx.tx.put_schedule(schedule)
        _wake(ctx, schedule)
    return schedule


def _wake(ctx: Context, schedule: Schedule) -> None:
    if schedule.active and schedule.task in ctx.tasks.scheduled_ids:
        ctx.wake_at(schedule.next_at)


def delete(ctx: Context, schedule_id: str) -> Schedule:
    """Delete a schedule; its runs stay. Raises NoSuchRunError, InvalidOptionError for a declarative one."""
    schedule = find(ctx, schedule_id)
    _refuse_declarative(schedule, "deleted")
    ctx.tx.delete_schedule(schedule.id)
    return schedule


def perform(ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    """Carry out a call that a run makes: `action`, `id`, and `options` in wire form."""
    action, schedule_id = args["action"], args.get("id") or ""
    if action == "delete":
        return describe(delete(ctx, schedule_id))
    if action in ("activate", "deactivate"):
        return describe(shown(ctx, set_active(ctx, schedule_id, action == "activate")))
    given = args.get("options") or {}
    options = ScheduleOptions(
        given.get("task", ""),
        given.get("cron", ""),
        given.get("timezone") or "UTC",
        given.get("externalId"),
        given.get("deduplicationKey"),
    )
    if action == "create":
        return describe(create(ctx, options))
    return describe(shown(ctx, update(ctx, schedule_id, options)))


def describe(schedule: Schedule) -> dict[str, Any]:
    """Write a schedule in its wire form."""
    return {
        "id": schedule.id,
        "type": schedule.type,
        "task": schedule.task,
        "active": schedule.active,
        "deduplicationKey": schedule.deduplication_key,
        "externalId": schedule.external_id,
        "generator": {
            "type": "CRON",
            "expression": schedule.cron,
            "description": cron.describe(schedule.cron),
        },
        "timezone": schedule.timezone,
        "nextRun": None if schedule.next_at is None else _durations.iso(schedule.next_at),
    }


def find(ctx: Context, schedule_id: str) -> Schedule:
    """Load a schedule. Raises NoSuchRunError."""
    found = ctx.tx.get_schedule(schedule_id)
    if found is None:
        raise errors.NoSuchRunError(f"Schedule {schedule_id!r} not found.")
    return found


def shown(ctx: Context, schedule: Schedule) -> Schedule:
    """Give a schedule as callers see it: one that rests has a next slot all the same, in the future."""
    if schedule.next_at is not None and schedule.next_at <= ctx.now:
        schedule.next_at = cron.next_slot(schedule.cron, schedule.timezone, ctx.now)
    return schedule


def _refuse_declarative(schedule: Schedule, what: str) -> None:
    if schedule.type == DECLARATIVE:
        raise errors.InvalidOptionError(
            f"Schedule {schedule.id!r} is declarative and cannot be {what}: "
            f"change `cron` where the task {schedule.task!r} is defined."
        )


def _check(ctx: Context, options: ScheduleOptions) -> None:
    _check_text("task", options.task)
    cron.check(_text("cron", options.cron), _text("timezone", options.timezone))
    if options.deduplication_key is not None:
        _check_text("deduplicationKey", options.deduplication_key)
    if options.external_id is not None:
        _check_text("externalId", options.external_id)
    task = ctx.tasks.tasks.get(options.task)
    if task is None:
        raise errors.InvalidOptionError(f"Task with identifier {options.task} not found in project.")
    if options.task not in ctx.tasks.scheduled_ids:
        raise errors.InvalidOptionError(
            f"Task with identifier {options.task} is not a scheduled task. Define it with @schedules.task."
        )


def _check_text(name: str, value: Any) -> None:
    if not 1 <= len(_text(name, value)) <= _MAX_KEY or not value.isprintable():
        raise errors.InvalidOptionError(f"{name}: must have 1 to {_MAX_KEY} printable characters.")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise errors.InvalidOptionError(f"{name}: must be text, not {value!r:.40}.")
    return value
