"""Cron schedules: one run for each slot, in the schedule's own time zone."""

from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.kit import DAY, HOUR, MINUTE, START, EngineKit, Worker, manifest, task
from triggerdev import _json, errors
from triggerdev.engine import cron
from triggerdev.engine.model import RunFilter, Schedule
from triggerdev.protocol import TaskInfo

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kolkata"]


def scheduled(expression: str, timezone: str = "UTC", task_id: str = "job", **more: Any) -> TaskInfo:
    return task(task_id, schedule={"cron": expression, "timezone": timezone, **more})


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def local(slots: list[int], zone: str) -> list[str]:
    return [f"{datetime.fromtimestamp(at / 1000, ZoneInfo(zone)):%m-%d %H:%M%z}" for at in slots]


async def the_schedule(kit: EngineKit) -> Schedule:
    schedules, count = await kit.engine.schedules.list(page=1, per_page=10)
    assert count == 1
    return schedules[0]


async def count(kit: EngineKit) -> int:
    return len(kit.query("SELECT id FROM runs"))


# -- slots


def test_a_time_that_spring_skips_runs_once_at_the_change() -> None:
    slots = cron.upcoming("30 2 * * *", "Europe/Berlin", ms("2026-03-28"), 3)
    assert local(slots, "Europe/Berlin") == ["03-28 02:30+0100", "03-29 03:00+0200", "03-30 02:30+0200"]


def test_a_time_that_autumn_repeats_runs_once() -> None:
    slots = cron.upcoming("30 2 * * *", "Europe/Berlin", ms("2026-10-24"), 3)
    assert local(slots, "Europe/Berlin") == ["10-24 02:30+0200", "10-25 02:30+0200", "10-26 02:30+0100"]


def test_a_schedule_of_every_quarter_hour_follows_real_time() -> None:
    for after in (ms("2026-03-29"), ms("2026-10-25")):
        slots = cron.upcoming("*/15 * * * *", "Europe/Berlin", after, 40)
        assert [at - after for at in slots] == [n * 15 * MINUTE for n in range(1, 41)]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 * * *", "15 1 * * *"])
def test_a_daily_schedule_runs_once_each_day_of_a_year(zone: str, expression: str) -> None:
    slots = cron.upcoming(expression, zone, ms("2026-01-01T12:00", zone), 365)
    days = Counter(datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date() for at in slots)
    assert set(days.values()) == {1}
    assert len(days) == 365


@given(
    zone=st.sampled_from(ZONES),
    expression=st.sampled_from(["*/7 * * * *", "30 1,2,3 * * *", "0 9 * * 1-5", "0 0 1 * *", "5 4 29 2 *"]),
    first=st.integers(0, 2 * 366 * 24 * 60),
    down=st.integers(0, 40 * 24 * 60),
)
@settings(max_examples=50, deadline=None)
def test_the_slot_after_downtime_is_the_latest_missed_one(
    zone: str, expression: str, first: int, down: int
) -> None:
    slot = cron.next_slot(expression, zone, START + first * MINUTE)
    assert slot is not None
    now = slot + down * MINUTE
    latest = cron.latest_missed(expression, zone, slot, now)
    following = cron.next_slot(expression, zone, latest)
    assert slot <= latest <= now
    assert following is not None and following > now


# -- firing


async def test_each_slot_makes_one_run(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(scheduled("*/10 * * * *"))
    for n in range(1, 4):
        await kit.advance("9m")
        assert await count(kit) == n - 1
        await kit.advance("1m")
        await kit.engine.tick()
        assert await count(kit) == n
        await worker.ok((await worker.started())["id"])


async def test_the_payload_of_a_scheduled_run(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(scheduled("0 9 * * *", "America/New_York"))
    schedule = await the_schedule(kit)
    await kit.advance("14h")
    message = await worker.started()
    assert message["payload_type"] == "application/super+json"
    payload = _json.loads(message["payload"])
    body = payload["json"]
    assert body["timestamp"] == "2026-01-01T14:00:00.000Z"
    assert (body["scheduleId"], body["type"]) == (schedule.id, "DECLARATIVE")
    assert body["timezone"] == "America/New_York"
    assert body["upcoming"][:2] == ["2026-01-02T14:00:00.000Z", "2026-01-03T14:00:00.000Z"]
    assert len(body["upcoming"]) == 10
    assert "lastTimestamp" not in body
    assert payload["meta"]["values"]["timestamp"] == ["Date"]
    assert payload["meta"]["values"]["upcoming.9"] == ["Date"]
    await kit.advance("24h")
    payload = _json.loads((await worker.started())["payload"])
    assert payload["json"]["lastTimestamp"] == "2026-01-01T14:00:00.000Z"
    assert payload["meta"]["values"]["lastTimestamp"] == ["Date"]
    page = await kit.engine.list_runs(RunFilter(schedule=schedule.id))
    assert len(page.items) == 2
    detail = await kit.engine.retrieve_run(page.items[0].id)
    assert detail.schedule is not None and detail.schedule.id == schedule.id


async def test_after_downtime_the_latest_missed_slot_runs_once(kit: EngineKit) -> None:
    await kit.activate(scheduled("0 * * * *"))
    kit.tasks = (scheduled("0 * * * *"),)
    await kit.restart(down_ms=5 * HOUR + 20 * MINUTE, activate=False)
    await kit.advance(0)
    assert await count(kit) == 0  # nobody knows the task yet
    await kit.activate(*kit.tasks)
    assert await count(kit) == 1
    message = await kit.worker.started()
    assert _json.loads(message["payload"])["json"]["timestamp"] == "2026-01-01T05:00:00.000Z"
    assert (await the_schedule(kit)).next_at == START + 6 * HOUR
    await kit.advance("40m")
    assert await count(kit) == 2


async def test_a_jump_of_the_clock_makes_one_run(kit: EngineKit) -> None:
    await kit.activate(scheduled("* * * * *"))
    await kit.advance(365 * DAY)
    assert await count(kit) == 1
    kit.clock.advance(-30 * DAY)  # and back: no slot twice
    await kit.advance(0)
    assert await count(kit) == 1


async def test_a_changed_expression_counts_from_now(kit: EngineKit) -> None:
    await kit.activate(scheduled("0 12 * * *"))
    before = await the_schedule(kit)
    await kit.activate(scheduled("30 10 * * *"))
    after = await the_schedule(kit)
    assert (after.id, after.next_at) == (before.id, START + 10 * HOUR + 30 * MINUTE)
    await kit.activate(scheduled("30 10 * * *", "Asia/Kolkata"))
    assert (await the_schedule(kit)).next_at == START + 5 * HOUR
    await kit.advance("12h")
    assert await count(kit) == 1


async def test_an_unchanged_schedule_keeps_its_next_slot(kit: EngineKit) -> None:
    await kit.activate(scheduled("0 * * * *"))
    await kit.advance("59m")
    await kit.activate(scheduled("0 * * * *"))
    await kit.advance("1m")
    assert await count(kit) == 1


async def test_the_schedule_of_a_removed_task_is_gone(kit: EngineKit) -> None:
    await kit.activate(scheduled("0 * * * *"), scheduled("0 * * * *", task_id="other"))
    await kit.activate(scheduled("0 * * * *"), task("other"))
    assert (await the_schedule(kit)).task == "job"
    await kit.activate(task("job"))
    assert await kit.engine.schedules.list(page=1, per_page=10) == ([], 0)
    await kit.advance("2h")
    assert await count(kit) == 0


async def test_a_schedule_of_other_environments_does_not_run_here(kit: EngineKit) -> None:
    await kit.activate(
        scheduled("0 * * * *", environments=["PRODUCTION"]),
        scheduled("0 * * * *", task_id="other", environments=["development"]),
    )
    assert (await the_schedule(kit)).task == "other"


@pytest.mark.parametrize(
    ("expression", "zone", "text"),
    [
        ("99 * * * *", "UTC", "Invalid cron expression"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("* * * *", "UTC", "five fields"),
        ("* * * * * *", "UTC", "five fields"),
        ("", "UTC", "five fields"),
        ("* * * * *", "Europe/Atlantis", "Invalid IANA timezone: 'Europe/Atlantis'"),
        ("* * * * *", "../etc/passwd", "Invalid IANA timezone"),
    ],
)
async def test_a_wrong_schedule_leaves_the_old_version_working(
    kit: EngineKit, worker: Worker, expression: str, zone: str, text: str
) -> None:
    await kit.activate(scheduled("0 * * * *"), task("child", queue={"concurrency_limit": 3}))
    before = kit.query("SELECT * FROM schedules"), kit.query("SELECT name, concurrency_limit FROM queues")
    bad = manifest(scheduled("5 * * * *"), scheduled(expression, zone, task_id="child"))
    with pytest.raises(errors.InvalidOptionError, match=text):
        await kit.engine.activate("20260101.99", bad)
    after = kit.query("SELECT * FROM schedules"), kit.query("SELECT name, concurrency_limit FROM queues")
    assert after == before
    assert [info["id"] for info in kit.engine.list_tasks()] == ["job", "child"]
    await kit.advance("1h")
    assert await count(kit) == 1
    assert (await worker.started())["version"] != "20260101.99"


async def test_schedules_are_listed_in_pages_and_found_by_id(kit: EngineKit) -> None:
    await kit.activate(*(scheduled("0 * * * *", task_id=f"t{n}") for n in range(5)))
    first, total = await kit.engine.schedules.list(page=1, per_page=2)
    last, _ = await kit.engine.schedules.list(page=3, per_page=2)
    assert ([s.task for s in first], [s.task for s in last], total) == (["t0", "t1"], ["t4"], 5)
    assert (await kit.engine.schedules.retrieve(first[0].id)).task == "t0"
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.schedules.retrieve("sched_none")


async def test_a_schedule_runs_over_a_dst_change(kit: EngineKit) -> None:
    kit.clock.advance(ms("2026-03-28T12:00") - START)
    await kit.activate(scheduled("30 2 * * *", "Europe/Berlin"))
    fired = []
    for _ in range(3 * 24 * 2):
        await kit.advance("30m")
        for message in kit.worker.heard("start"):
            fired.append(_json.loads(message["run"]["payload"])["json"]["timestamp"])
    assert fired == ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z", "2026-03-31T00:30:00.000Z"]


async def test_a_slot_runs_once_though_the_clock_is_set_back(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(scheduled("*/10 * * * *"))
    await kit.advance("10m")
    await kit.advance("10m")
    kit.clock.advance(-15 * MINUTE)
    await kit.restart(activate=False)
    await kit.activate(scheduled("*/10 * * * *"))
    assert (await the_schedule(kit)).next_at == START + 10 * MINUTE
    await kit.advance("5m")
    await kit.advance("10m")
    assert await count(kit) == 2
    await kit.advance("10m")
    assert await count(kit) == 3


async def test_a_schedule_goes_on_after_a_year_that_never_was(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(scheduled("*/10 * * * *"))
    kit.clock.advance(365 * DAY)
    await kit.advance(0)
    kit.clock.advance(-365 * DAY)
    await kit.restart(activate=False)
    await kit.activate(scheduled("*/10 * * * *"))
    await kit.advance("10m")
    assert await count(kit) == 2
