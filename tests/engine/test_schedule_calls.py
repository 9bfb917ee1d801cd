"""Schedules that calls make: one for each key, several for a task, with the promises of declared ones."""

from typing import Any

import pytest

from tests.engine.kit import DAY, HOUR, MINUTE, START, EngineKit, Worker, task
from tests.engine.test_schedules import count, scheduled
from triggerdev import _json, errors
from triggerdev.engine import cron
from triggerdev.engine.model import Schedule, ScheduleOptions

REPORT = task("report", scheduled=True)


def options(expression: str = "0 * * * *", **more: Any) -> ScheduleOptions:
    return ScheduleOptions(**{"task": "report", "cron": expression, **more})


async def create(kit: EngineKit, expression: str = "0 * * * *", **more: Any) -> Schedule:
    return await kit.engine.schedules.create(options(expression, **more))


async def payloads(kit: EngineKit) -> list[dict[str, Any]]:
    """The payloads of the runs so far, in order."""
    await kit.settled()
    return [_json.loads(m["run"]["payload"])["json"] for m in kit.worker.inbox if m["t"] == "start"]


@pytest.fixture(autouse=True)
async def tasks(kit: EngineKit) -> None:
    await kit.activate(REPORT, task("job"))


async def test_each_slot_makes_one_run_with_the_schedule_in_its_payload(kit: EngineKit) -> None:
    made = await create(kit, "0 9 * * *", timezone="America/New_York", external_id="user_1")
    assert (made.type, made.active, made.next_at) == ("IMPERATIVE", True, START + 14 * HOUR)
    await kit.advance("14h")
    await kit.advance("24h")
    first, second = await payloads(kit)
    assert (first["scheduleId"], first["externalId"], first["type"]) == (made.id, "user_1", "IMPERATIVE")
    assert (first["timestamp"], first["timezone"]) == ("2026-01-01T14:00:00.000Z", "America/New_York")
    assert "lastTimestamp" not in first
    assert second["lastTimestamp"] == first["timestamp"]
    assert first["upcoming"][0] == second["timestamp"]


async def test_a_task_can_have_several_schedules(kit: EngineKit) -> None:
    await kit.activate(scheduled("0 0 * * *", task_id="report"))
    for user, hour in (("ada", 9), ("bob", 10)):
        await create(kit, f"0 {hour} * * *", external_id=user, deduplication_key=user)
    for _ in range(24):
        await kit.advance("1h")
    seen = [(each.get("externalId"), each["timestamp"][11:13]) for each in await payloads(kit)]
    assert seen == [("ada", "09"), ("bob", "10"), (None, "00")]


async def test_a_second_create_with_the_same_key_changes_the_first(kit: EngineKit) -> None:
    first = await create(kit, "0 * * * *", deduplication_key="k", external_id="a")
    await kit.engine.schedules.set_active(first.id, False)
    second = await create(kit, "30 * * * *", deduplication_key="k", timezone="Asia/Kolkata")
    assert (second.id, second.external_id, second.active) == (first.id, None, False)
    assert second.next_at == cron.next_slot("30 * * * *", "Asia/Kolkata", START)
    other = await create(kit, "0 * * * *", deduplication_key="l")
    assert other.id != first.id
    assert (await kit.engine.schedules.list(page=1, per_page=10))[1] == 2
    assert await kit.engine.schedules.retrieve(first.id) == second


async def test_without_a_key_each_create_makes_one(kit: EngineKit) -> None:
    ids = {(await create(kit)).id for _ in range(3)}
    assert len(ids) == 3
    await kit.advance("1h")
    assert await count(kit) == 3


async def test_an_update_counts_from_now_and_keeps_the_key(kit: EngineKit) -> None:
    made = await create(kit, "0 12 * * *", deduplication_key="k", external_id="a")
    await kit.activate(REPORT, task("other", scheduled=True))
    changed = await kit.engine.schedules.update(made.id, options("0 10 * * *", task="other"))
    assert (changed.task, changed.next_at) == ("other", START + 10 * HOUR)
    assert (changed.deduplication_key, changed.external_id) == ("k", None)
    await kit.advance("12h")
    assert kit.query("SELECT task FROM runs") == [("other",)]


async def test_an_update_of_the_external_id_alone_moves_no_slot(kit: EngineKit) -> None:
    made = await create(kit, "*/10 * * * *")
    await kit.advance("10m")
    changed = await kit.engine.schedules.update(made.id, options("*/10 * * * *", external_id="b"))
    assert (changed.next_at, changed.last_at) == (START + 20 * MINUTE, START + 10 * MINUTE)
    await kit.advance("10m")
    assert [each.get("externalId") for each in await payloads(kit)] == [None, "b"]


async def test_an_inactive_schedule_keeps_its_slots_and_runs_nothing(kit: EngineKit) -> None:
    made = await create(kit)
    rests = await kit.engine.schedules.set_active(made.id, False)
    assert (rests.active, rests.next_at) == (False, START + HOUR)
    await kit.advance("90m")
    assert await count(kit) == 0
    assert (await kit.engine.schedules.retrieve(made.id)).next_at == START + 2 * HOUR
    assert (await kit.engine.schedules.list(page=1, per_page=9))[0][0].next_at == START + 2 * HOUR
    runs = await kit.engine.schedules.set_active(made.id, True)
    assert (runs.active, runs.next_at) == (True, START + 2 * HOUR)
    await kit.advance(0)
    assert await count(kit) == 0  # what it has missed is not made up for
    await kit.advance("30m")
    assert await count(kit) == 1


async def test_to_activate_what_is_active_moves_no_slot(kit: EngineKit) -> None:
    made = await create(kit)
    kit.clock.advance(HOUR)
    await kit.engine.schedules.set_active(made.id, True)
    await kit.advance(0)
    assert await count(kit) == 1


async def test_a_deleted_schedule_runs_no_more_and_its_runs_stay(kit: EngineKit) -> None:
    made = await create(kit)
    await kit.advance("1h")
    (run,) = kit.query("SELECT id FROM runs")
    await kit.engine.schedules.delete(made.id)
    await kit.advance("2h")
    assert await count(kit) == 1
    detail = await kit.engine.retrieve_run(run[0])
    assert (detail.run.schedule_id, detail.schedule) == (made.id, None)
    for call in (kit.engine.schedules.delete, kit.engine.schedules.retrieve):
        with pytest.raises(errors.NoSuchRunError, match="not found"):
            await call(made.id)
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.schedules.update(made.id, options())


async def test_a_declarative_schedule_is_not_changed_by_calls(kit: EngineKit) -> None:
    await kit.activate(scheduled("0 * * * *", task_id="report"))
    ((declared,), _) = await kit.engine.schedules.list(page=1, per_page=10)
    with pytest.raises(errors.InvalidOptionError, match="is declarative and cannot be updated"):
        await kit.engine.schedules.update(declared.id, options("5 * * * *"))
    with pytest.raises(errors.InvalidOptionError, match="is declarative and cannot be deleted"):
        await kit.engine.schedules.delete(declared.id)
    await kit.engine.schedules.set_active(declared.id, False)
    await kit.activate(scheduled("0 * * * *", task_id="report"))
    await kit.advance("2h")
    assert await count(kit) == 0  # a new version lets it rest, too


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"expression": "99 * * * *"}, "Invalid cron expression: '99"),
        ({"expression": "* * * *"}, "five fields"),
        ({"expression": ""}, "five fields"),
        ({"timezone": "Europe/Atlantis"}, "Invalid IANA timezone: 'Europe/Atlantis'"),
        ({"task": "nope"}, "Task with identifier nope not found in project."),
        ({"task": "job"}, "Task with identifier job is not a scheduled task."),
        ({"task": ""}, "task: must have 1 to 512"),
        ({"deduplication_key": ""}, "deduplicationKey: must have 1 to 512"),
        ({"deduplication_key": "k" * 513}, "deduplicationKey: must have 1 to 512"),
        ({"external_id": "a\x00"}, "externalId: must have 1 to 512 printable"),
        ({"external_id": 5}, "externalId: must be text, not 5"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused(kit: EngineKit, given: dict[str, Any], text: str) -> None:
    made = await create(kit, deduplication_key="kept")
    with pytest.raises(errors.InvalidOptionError, match=text):
        await create(kit, **given)
    if "deduplication_key" not in given:
        with pytest.raises(errors.InvalidOptionError, match=text):
            await kit.engine.schedules.update(made.id, options(**given))
    assert (await kit.engine.schedules.list(page=1, per_page=10))[0] == [made]


async def test_a_schedule_outlives_a_version_without_its_task(kit: EngineKit) -> None:
    made = await create(kit)
    await kit.activate(task("job"))
    await kit.advance("90m")
    assert await count(kit) == 0
    assert (await kit.engine.schedules.retrieve(made.id)).next_at == START + 2 * HOUR
    await kit.activate(REPORT)
    assert await count(kit) == 1  # as after downtime: the latest slot that was missed, late
    (late,) = await payloads(kit)
    assert late["timestamp"] == "2026-01-01T01:00:00.000Z"
    await kit.advance("30m")
    assert await count(kit) == 2


async def test_a_task_that_is_no_longer_scheduled_is_not_run(kit: EngineKit) -> None:
    await create(kit)
    await kit.activate(task("report"))
    await kit.advance("2h")
    assert await count(kit) == 0


async def test_after_downtime_the_latest_missed_slot_runs_once(kit: EngineKit) -> None:
    await create(kit)
    kit.tasks = (REPORT,)
    await kit.restart(down_ms=5 * HOUR + 20 * MINUTE)
    assert await count(kit) == 1
    await kit.advance("40m")
    assert await count(kit) == 2


async def test_it_goes_on_though_the_clock_was_set_back(kit: EngineKit) -> None:
    await create(kit, "*/10 * * * *")
    kit.clock.advance(365 * DAY)
    await kit.advance(0)
    kit.clock.advance(-365 * DAY)
    kit.tasks = (REPORT,)
    await kit.restart()
    await kit.advance("10m")
    assert await count(kit) == 2


async def test_hundreds_of_schedules_share_a_slot(kit: EngineKit) -> None:
    for number in range(250):
        await create(kit, deduplication_key=f"user-{number}", external_id=f"{number}")
    page, total = await kit.engine.schedules.list(page=3, per_page=100)
    assert (len(page), total) == (50, 250)
    await kit.advance("1h")
    assert await count(kit) == 250
    assert kit.query("SELECT count(DISTINCT schedule_id) FROM runs") == [(250,)]
    await kit.advance("1h")
    assert await count(kit) == 500


async def test_a_run_makes_and_changes_schedules_as_durable_operations(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    body = {"task": "report", "cron": "0 * * * *", "deduplicationKey": "k", "externalId": "ada"}
    arguments = {"action": "create", "id": None, "options": body}
    reply = await worker.op(run, "0:0", "schedule", "create k", **arguments)
    made = reply["result"]
    assert (made["task"], made["externalId"], made["nextRun"]) == (
        "report",
        "ada",
        "2026-01-01T01:00:00.000Z",
    )
    assert made["generator"]["description"] == "At the start of every hour"
    await kit.engine.schedules.delete(made["id"])
    again = await worker.op(run, "0:0", "schedule", "create k", **arguments)
    assert again["result"] == made  # it is recorded: a replay makes it no second time
    assert await kit.engine.schedules.list(page=1, per_page=9) == ([], 0)
    refused = await worker.op(run, "0:1", "schedule", "delete x", action="delete", id="x", options={})
    assert refused["error_kind"] == "NoSuchRunError"
    reply = await worker.op(run, "0:2", "schedule", "create k", **arguments)
    second = reply["result"]["id"]
    for number, action in enumerate(("deactivate", "activate", "update", "delete"), 3):
        changed = {**body, "cron": "30 * * * *"} if action == "update" else {}
        reply = await worker.op(
            run, f"0:{number}", "schedule", f"{action} {second}", action=action, id=second, options=changed
        )
        assert (reply["result"]["id"], reply["result"]["active"]) == (second, action != "deactivate")
    assert await kit.engine.schedules.list(page=1, per_page=9) == ([], 0)
