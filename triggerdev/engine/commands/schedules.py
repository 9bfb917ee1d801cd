"""Cron schedules: declared by tasks, one run for each slot.

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

_UPCOMING = 10
_REMEMBERED_MS = 2 * 86_400_000  # a slot that has run, should the clock be set back
_NO_TASK = ""  # whose keys retention deletes once they have expired


def register(ctx: Context, manifest: Manifest, environment: str) -> None:
    """Make the declarative schedules those of the manifest. Raises InvalidOptionError for a wrong one."""
    wanted = {
        task["id"]: (task, task["schedule"])
        for task in manifest["tasks"]
        if task.get("schedule") and _applies(task["schedule"], environment)
    }
    for schedule in ctx.tx.schedules():
        if schedule.type == "DECLARATIVE" and schedule.task not in wanted:
            ctx.tx.delete_schedule(schedule.id)
    known = {s.task: s for s in ctx.tx.schedules() if s.type == "DECLARATIVE"}
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
    _schedule_next(ctx, schedule)


def _catch_clock(ctx: Context, schedule: Schedule) -> None:
    """Let a schedule go on as it is, unless its next slot is so far away because the clock was set back."""
    following = cron.next_slot(schedule.cron, schedule.timezone, ctx.now)
    if following is not None and (schedule.next_at is None or following < schedule.next_at):
        _schedule_next(ctx, schedule)
    else:
        ctx.wake_at(schedule.next_at)


def _schedule_next(ctx: Context, schedule: Schedule) -> None:
    schedule.next_at = cron.next_slot(schedule.cron, schedule.timezone, ctx.now)
    ctx.tx.put_schedule(schedule)
    ctx.wake_at(schedule.next_at)


def fire_due(ctx: Context) -> None:
    """Make the runs of schedules that are due and move each to its next slot, in one transaction.

    While no version is active (after a start), slots stay due: they belong to tasks that are not known yet.
    """
    if ctx.tasks.version is None:
        return
    for schedule in ctx.tx.due_schedules(ctx.now):
        if schedule.task in ctx.tasks.tasks:
            _fire(ctx, schedule)
        _schedule_next(ctx, schedule)


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
