"""Retention: what is old and needed no more goes, with all that belongs to it, in small steps."""

import asyncio
import logging

import pytest

from tests.engine.kit import DAY, HOUR, MINUTE, SECOND, EngineKit, Worker, item, only_postgres, only_sqlite
from tests.engine.test_storage import fill_disk, free_disk
from triggerdev import errors
from triggerdev.engine import cleaning
from triggerdev.engine.cleaning import Cleaner
from triggerdev.engine.commands import retention
from triggerdev.engine.commands.retention import Position, Retention
from triggerdev.engine.model import Status

TABLES = (
    "runs",
    "ops",
    "batches",
    "batch_items",
    "batch_errors",
    "batch_watchers",
    "idempotency_keys",
    "tokens",
)
A_DAY = Retention(runs_ms=DAY, logs_ms=DAY)


def cleaner(kit: EngineKit, keep: Retention = A_DAY) -> Cleaner:
    return Cleaner(kit.engine._submit, kit.clock, keep, kit.engine.sweep_bodies)


async def clean_later(kit: EngineKit, later: str = "25h") -> int:
    """Let time pass, then delete what is older than a day."""
    await kit.advance(later)
    return await cleaner(kit).clean()


def rows(kit: EngineKit) -> dict[str, int]:
    """Count what is left, without the tables that are empty."""
    counts = {name: kit.query(f"SELECT count(*) FROM {name}")[0][0] for name in (*TABLES, "logs", "spans")}
    return {name: count for name, count in counts.items() if count}


async def say_lines(kit: EngineKit, worker: Worker, run: str, count: int) -> None:
    line = {"run": run, "at": kit.clock.now(), "message": "hello"}
    await worker.say({"t": "logs", "lines": [line] * count})


async def say_span(kit: EngineKit, worker: Worker, run: str) -> None:
    span = {"id": "s1", "parent": "p", "name": "part", "kind": "user", "start": kit.clock.now() * 10**6}
    await worker.say(worker.message("spans", run, spans=[span]))


async def test_a_run_goes_with_everything_that_is_its_own(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", "x" * 1000, idempotencyKey="k", idempotencyKeyTTL="1h", tags=["a"])
    await say_lines(kit, worker, run, 3)
    await say_span(kit, worker, run)
    await worker.op(run, "0:0", "create_token", "approval", timeout_ms=MINUTE)
    await worker.ok(run, "y" * 1000)
    assert rows(kit) == {"runs": 1, "idempotency_keys": 1, "tokens": 1, "logs": 3, "spans": 1}
    assert await clean_later(kit, "1h") == 0
    assert await clean_later(kit) == 6
    assert rows(kit) == {}
    with pytest.raises(errors.NoSuchRunError):
        await kit.run(run)
    assert await kit.trigger("job", None, idempotencyKey="k") != run


async def test_without_retention_all_stays(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await say_lines(kit, worker, run, 3)
    await worker.ok(run)
    await kit.advance("365d")
    assert await kit.engine.clean() == 0
    assert rows(kit) == {"runs": 1, "logs": 3}


async def test_what_is_not_finished_stays(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 3
    runs = [await kit.start() for _ in range(3)]
    await worker.wait_parked(runs[1], ms=40 * DAY)
    queued, delayed = await kit.trigger("plain"), await kit.trigger("job", None, delay="40d")
    await kit.engine.tokens.create(timeout="40d")
    before = rows(kit)
    assert await clean_later(kit, "30d") == 0
    assert rows(kit) == before
    assert {await kit.status(each) for each in (*runs, queued, delayed)} == {
        Status.EXECUTING,
        Status.WAITING,
        Status.DELAYED,
    }


async def test_a_tree_goes_from_its_leaves_and_as_a_whole(kit: EngineKit, worker: Worker) -> None:
    root = await kit.start()
    child = (await worker.op(root, "0:0", "trigger", "child"))["result"]["id"]
    await worker.started(child)
    leaf = (await worker.op(child, "0:0", "trigger", "other"))["result"]["id"]
    await worker.started(leaf)
    await worker.ok(child)
    assert await clean_later(kit) == 0  # the leaf is alive, and so is the root
    await worker.ok(root)
    assert await clean_later(kit) == 0  # its metadata can still be changed by the leaf
    await worker.ok(leaf)
    assert await clean_later(kit, "23h") == 0
    assert await clean_later(kit, "2h") == 3
    assert rows(kit) == {}


async def test_children_stay_while_their_parent_can_ask_for_them(kit: EngineKit, worker: Worker) -> None:
    parent = await kit.start()
    child = (await worker.op(parent, "0:0", "trigger", "child"))["result"]["id"]
    await worker.started(child)
    await worker.ok(child)
    await worker.wait_parked(parent, "0:1", 3 * DAY)
    assert await clean_later(kit, "2d") == 0
    await kit.advance("1d")
    await worker.next("resume", parent)
    await worker.ok(parent)
    assert await clean_later(kit) == 2


async def test_a_key_that_holds_keeps_its_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, idempotencyKey="k", idempotencyKeyTTL="3d")
    await worker.ok(run)
    assert await clean_later(kit, "2d") == 0
    assert await kit.trigger("job", None, idempotencyKey="k") == run
    assert await clean_later(kit, "1d") == 1


async def test_a_very_long_key_keeps_its_run_too(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, idempotencyKey="ä" * 2000, idempotencyKeyTTL="3d")
    await worker.ok(run)
    assert await clean_later(kit, "2d") == 0
    assert await clean_later(kit, "1d") == 1
    assert rows(kit) == {}


async def test_a_run_whose_key_went_to_another_leaves_the_key(kit: EngineKit, worker: Worker) -> None:
    first = await kit.start("job", None, idempotencyKey="k", idempotencyKeyTTL="1h")
    await worker.ok(first)
    await kit.advance("2h")
    second = await kit.start("job", None, idempotencyKey="k", idempotencyKeyTTL="9d")
    assert await clean_later(kit) == 1
    assert await kit.trigger("job", None, idempotencyKey="k") == second != first


async def test_runs_of_a_batch_stay_until_it_is_complete(kit: EngineKit, worker: Worker) -> None:
    cached = await kit.start("job", None, idempotencyKey="k", idempotencyKeyTTL="1h")
    await worker.ok(cached)
    batch = (await kit.engine.create_batch(run_count=3)).id
    items = [item("job", None, 0, idempotencyKey="k"), item("child", None, 1), item("nope", None, 2)]
    await kit.engine.add_batch_items(batch, items)
    child = (await worker.started())["id"]
    assert await clean_later(kit) == 0
    assert (await kit.batch(batch)).runs == [cached, child]
    await worker.ok(child)
    assert await clean_later(kit) == 3
    assert rows(kit) == {}


async def test_a_batch_whose_key_holds_can_be_waited_for_again(kit: EngineKit, worker: Worker) -> None:
    parent = await kit.start()
    items = [{"task": "child", "payload": None}]
    args = {"items": items, "idempotency_key": "b", "idempotency_ttl_ms": 3 * DAY}
    await worker.op(parent, "0:0", "batch_trigger_and_wait", "child", **args)
    child = (await worker.started())["id"]
    await worker.ok(child, 7)
    await worker.ok(parent)
    assert await clean_later(kit, "2d") == 0
    again = await kit.start()
    reply = await worker.op(again, "0:0", "batch_trigger_and_wait", "child", **args)
    assert reply["result"]["runs"][0]["output"] == "7"
    await worker.ok(again)
    assert await clean_later(kit, "2d") == 4
    assert rows(kit) == {}


async def test_a_token_that_a_live_run_has_made_stays(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    token = (await worker.op(run, "0:0", "create_token", None))["result"]["id"]
    await kit.engine.tokens.complete(token, "1", "application/json")
    await worker.wait_parked(run, "0:1", 3 * DAY)
    assert await clean_later(kit, "2d") == 0
    await kit.advance("1d")
    await worker.next("resume", run)
    assert (await worker.op(run, "0:2", "wait_token", token, is_name=False))["result"]["output"] == "1"
    await worker.ok(run)
    assert await clean_later(kit) == 2


async def test_tokens_go_by_their_end_and_the_end_of_their_key(kit: EngineKit) -> None:
    named = (await kit.engine.tokens.create(idempotency_key="a", timeout="1h")).id
    lasting = (await kit.engine.tokens.create(idempotency_key="b", idempotency_ttl_ms=9 * DAY)).id
    await kit.engine.tokens.complete(lasting, None, "application/json")
    assert await clean_later(kit, "2d") == 0  # what was due has just timed out
    assert await clean_later(kit) == 1
    assert (await kit.engine.tokens.retrieve(lasting)).status == "COMPLETED"
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.tokens.retrieve(named)


async def test_old_lines_go_before_their_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await say_lines(kit, worker, run, 450)
    await kit.advance("25h")
    await say_lines(kit, worker, run, 2)
    assert await cleaner(kit).clean() == 450
    assert len(await kit.engine.read_logs(run)) == 2
    assert await kit.status(run) is Status.EXECUTING


async def test_no_step_deletes_more_than_its_limit(kit: EngineKit, worker: Worker) -> None:
    runs = [await kit.start() for _ in range(12)]
    for run in runs:
        await say_lines(kit, worker, run, 7)
        await worker.ok(run)
    await kit.advance("2d")
    keep, before, steps = Retention(runs_ms=DAY), sum(rows(kit).values()), 0
    at: Position | None = Position()
    while at is not None:
        at = await kit.engine._submit(lambda ctx, at=at: retention.step(ctx, keep, at, 10))  # type: ignore[misc]  # lambda
        after = sum(rows(kit).values())
        assert before - after <= 20  # ten lines and ten runs
        before, steps = after, steps + 1
    assert (rows(kit), steps > 8) == ({}, True)


async def test_answers_to_repeated_requests_are_forgotten_after_an_hour(kit: EngineKit) -> None:
    for number in range(30):
        await kit.engine.trigger(item("job"), request=f"request {number}")
    await kit.engine.trigger(item("job", None, idempotencyKey="k", idempotencyKeyTTL="1m"))
    await kit.advance("59m")
    assert await kit.engine.clean() == 0
    await kit.advance("1m")
    assert await kit.engine.clean() == 30
    assert rows(kit) == {"runs": 31, "idempotency_keys": 1}


@only_postgres
async def test_only_one_server_deletes_at_a_time(kit: EngineKit, worker: Worker) -> None:
    await worker.ok(await kit.start())
    await kit.advance("2d")
    other = kit.backend.make()
    other.open()
    try:
        with other.write() as tx:
            assert tx.try_lock("retention")
            assert await cleaner(kit).clean() == 0
        assert await cleaner(kit).clean() == 1
    finally:
        other.close()


@only_sqlite
async def test_a_full_disk_puts_it_off_and_is_told_once(
    kit: EngineKit, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    cleans = cleaner(kit)
    await worker.ok(await kit.start())
    await kit.advance("2d")
    caplog.set_level(logging.WARNING, cleaning.__name__)

    async def refuse(_command: object) -> None:
        raise errors.StorageFullError("Cannot write engine.db: database or disk is full.")

    submit, cleans._submit = cleans._submit, refuse  # type: ignore[assignment]  # stands in for a full disk
    for _ in range(3):
        await cleans._try()
    assert [record.getMessage() for record in caplog.records] == [
        "what is old cannot be deleted, which is tried again each minute:"
        " Cannot write engine.db: database or disk is full."
    ]
    cleans._submit = submit
    await cleans._try()
    assert rows(kit) == {}


@only_sqlite
async def test_deleting_makes_room_on_a_full_disk(kit: EngineKit, worker: Worker) -> None:
    for _ in range(5):
        await worker.ok(await kit.start("job", "x" * 50_000))
    await kit.advance("2d")
    worker.room["async"] = 0
    fill_disk(kit)
    with pytest.raises(errors.StorageFullError):
        for _ in range(50):
            await kit.trigger("job", "x" * 50_000)
    assert await cleaner(kit).clean() == 5
    assert await kit.trigger("job", "x" * 50_000)  # pages of what was deleted are used again
    free_disk(kit)


async def test_a_clock_that_jumps_deletes_nothing_for_an_hour(
    kit: EngineKit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = 10_000
    monkeypatch.setattr(cleaning, "steady_ns", lambda: steady * 1_000_000_000)
    cleans = cleaner(kit)
    assert not cleans._has_jumped()
    kit.clock.advance(365 * DAY)
    assert cleans._has_jumped()
    assert "jumped by 31536000 s" in caplog.text
    for passes in (3599, 1):
        assert cleans._has_jumped()
        steady += passes
        kit.clock.advance(passes * SECOND)
    assert not cleans._has_jumped()
    kit.clock.advance(-2 * HOUR)
    assert cleans._has_jumped()


async def test_steps_adapt_to_what_they_cost() -> None:
    assert cleaning._adapted(25, 0.001) == 50
    assert cleaning._adapted(150, 0.001) == retention.MOST
    assert cleaning._adapted(25, 0.007) == 25
    assert (cleaning._adapted(25, 0.1), cleaning._adapted(1, 9)) == (6, 1)


async def test_the_engine_deletes_by_itself(
    kit: EngineKit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.ok(await kit.start())
    await kit.advance("2d")
    monkeypatch.setattr(cleaning, "PASS_SECONDS", 0.001)
    cleans, cleaned = cleaner(kit), asyncio.Event()
    clean = cleans.clean

    async def note() -> int:
        deleted = await clean()
        cleaned.set()
        return deleted

    monkeypatch.setattr(cleans, "clean", note)
    cleans.start()
    await asyncio.wait_for(cleaned.wait(), 10)
    await cleans.stop()
    assert rows(kit) == {}
