"""Cron schedules: those that tasks declare, and one run for each slot of any.

After downtime the latest missed slot of a schedule runs once, late; earlier ones are skipped.
"""

import hashlib
from typing import Any

from triggerdev import _durations, _json
from triggerdev.engine import cron
from triggerdev.engine.commands.trigger import Origin, trigger
from triggerdev.engine.context import Context
from triggerdev.engine.model import Schedule, TriggerItem
from triggerdev.engine.store.protocol import IdempotencyRow
from triggerdev.protocol import Manifest, ScheduleInfo, TaskInfo

DECLARATIVE, IMPERATIVE = "DECLARATIVE", "IMPERATIVE"
_UPCOMING = 10
_PAGE = 100  # each costs a millisecond or so, during which nothing else is committed
_REMEMBERED_MS = 2 * 86_400_000  # a slot that has run, should the clock be set back
_NO_TASK = ""  # whose keys retention deletes once they have expired


def register(ctx: Context, manifest: Manifest, environment: str, *, first: bool = True) -> None:
    """Make the declarative schedules those of the manifest. Raises InvalidOptionError for a wrong one.

    `first`: it is the first version since the start, before which the clock may have been set.
    """
    wanted = {
        task["id"]: (task, task["schedule"])
        for task in manifest["tasks"]
        if task.get("schedule") and _applies(task["schedule"], environment)
    }
    known: dict[str, Schedule] = {}
    for schedule in ctx.tx.schedules(None if first else DECLARATIVE):
        if schedule.type != DECLARATIVE:
            _catch_clock(ctx, schedule)
        elif schedule.task in wanted:
            known[schedule.task] = schedule
        else:
            ctx.tx.delete_schedule(schedule.id)
    for task, info in wanted.values():
        assert info is not None
        _declare(ctx, task, info, known.get(task["id"]))


def _applies(info: ScheduleInfo | None, environment: str) -> bool:
    environments = info.get("environments") if info else None
    return environments is None or environment.upper() in [name.upper() for name in environments]


def _declare(ctx: Context, task: TaskInfo, info: ScheduleInfo, known: Schedule | None) -> None:
    cron.check(info["cron"], info["timezone"])
    if known is not None and (known.cron, known.timezone) == (info["cron"], info["timezone"]):
        _catch_clock(ctx, known)
        return
    digest = hashlib.sha256(task["id"].encode()).hexdigest()[:21]
    schedule = known or Schedule(f"sched_{digest}", task["id"], info["cron"], info["timezone"])
    schedule.cron, schedule.timezone = info["cron"], info["timezone"]
    schedule_next(ctx, schedule)


def _catch_clock(ctx: Context, schedule: Schedule) -> None:
    """Let a schedule go on as it is, unless its next slot is so far away because the clock was set back."""
    following = cron.next_slot(schedule.cron, schedule.timezone, ctx.now)
    if following is not None and (schedule.next_at is None or following < schedule.next_at):
        schedule_next(ctx, schedule)
    elif schedule.active:
        ctx.wake_at(schedule.next_at)


def schedule_next(ctx: Context, schedule: Schedule) -> None:
    """Store a schedule with its first slot from now on."""
    schedule.next_at = cron.next_slot(schedule.cron, schedule.timezone, ctx.now)
    ctx.tx.put_schedule(schedule)
    if schedule.active:
        ctx.wake_at(schedule.next_at)


def fire_due(ctx: Context) -> bool:
    """Make the runs of schedules that are due and move each to its next slot. True if there may be more.

    A schedule whose task the current version lacks stays due: its task may come back, or another server of
    the same database may know it. While no version is active (after a start), that is so for all.
    """
    due = ctx.tx.due_schedules(ctx.now, ctx.tasks.scheduled_ids, _PAGE)
    for schedule in due:
        _fire(ctx, schedule)
        schedule_next(ctx, schedule)
    return len(due) == _PAGE


def _fire(ctx: Context, schedule: Schedule) -> None:
    assert schedule.next_at is not None
    slot = cron.latest_missed(schedule.cron, schedule.timezone, schedule.next_at, ctx.now)
    pair = _NO_TASK, f"slot/{schedule.id}/{slot}"
    if ctx.tx.get_keys([pair]):
        return  # it ran before the clock was set back
    item = TriggerItem(schedule.task, payload(schedule, slot), "application/super+json")
    made = trigger(ctx, item, Origin(schedule_id=schedule.id))
    ctx.tx.put_keys([IdempotencyRow(*pair, made.id, ctx.now + _REMEMBERED_MS)])
    schedule.last_at = slot
    ctx.crash_points("schedule")


def payload(schedule: Schedule, slot: int) -> str:
    """Write the payload of a scheduled run, with its dates marked for clients that read superjson."""
    upcoming = cron.upcoming(schedule.cron, schedule.timezone, slot, _UPCOMING)
    body: dict[str, Any] = {
        "scheduleId": schedule.id,
        "type": schedule.type,
        "timestamp": _durations.iso(slot),
        "timezone": schedule.timezone,
        "upcoming": [_durations.iso(at) for at in upcoming],
    }
    dates = {"timestamp": ["Date"], **{f"upcoming.{i}": ["Date"] for i in range(len(upcoming))}}
    if schedule.last_at is not None:
        body["lastTimestamp"] = _durations.iso(schedule.last_at)
        dates["lastTimestamp"] = ["Date"]
    if schedule.external_id is not None:
        body["externalId"] = schedule.external_id
    return _json.dumps({"json": body, "meta": {"values": dates}})
