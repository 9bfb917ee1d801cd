"""Cancelling, in every state and with all descendants."""

import pytest

from tests.engine.kit import HOUR, EngineKit, Worker
from triggerdev.engine.model import Status

BY_USER = {"type": "STRING_ERROR", "raw": "Canceled by user"}


async def cancelled(kit: EngineKit, run: str) -> bool:
    found = await kit.run(run)
    if found.status is Status.CANCELED:
        assert found.error == BY_USER
        assert found.finished_at is not None
    return found.status is Status.CANCELED


@pytest.mark.parametrize("options", [{}, {"delay": "1h"}])
async def test_a_run_that_has_not_started_ends_at_once(
    kit: EngineKit, worker: Worker, options: dict[str, str]
) -> None:
    worker.room["async"] = 0
    run = await kit.trigger("job", None, **options)
    await kit.engine.cancel_run(run)
    assert await cancelled(kit, run)
    worker.room["async"] = 1
    await kit.advance("2h")
    assert worker.heard() == []


async def test_a_retrying_run_ends_at_once(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run)
    await kit.engine.cancel_run(run)
    assert await cancelled(kit, run)
    await kit.advance("1m")
    assert worker.heard("start") == []


async def test_an_executing_run_ends_when_its_worker_says_so(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await kit.engine.cancel_run(run)
    message = await worker.next("cancel", run)
    assert (message["token"], message["reason"]) == (worker.tokens[run], "cancelled")
    assert await kit.status(run) is Status.EXECUTING
    reply = await worker.op(run, "0:0", "trigger", "child")
    assert reply["error_kind"] == "stale"
    await worker.done(run, "cancelled")
    assert await cancelled(kit, run)


@pytest.mark.parametrize("outcome", ["ok", "failed", "timed_out", "crashed"])
async def test_whatever_a_run_says_after_it_was_cancelled_it_is_cancelled(
    kit: EngineKit, worker: Worker, outcome: str
) -> None:
    run = await kit.start()
    await kit.engine.cancel_run(run)
    await worker.done(run, outcome, output="1", error={"type": "STRING_ERROR", "raw": "x"})
    assert await cancelled(kit, run)
    assert (await kit.run(run)).output is None


async def test_a_parked_run_ends_at_once_and_its_process_is_told(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.wait_parked(run)
    await kit.engine.cancel_run(run)
    assert await cancelled(kit, run)
    assert (await worker.next("cancel", run))["token"] == worker.tokens[run]
    await worker.done(run, "cancelled")
    await kit.advance("2h")
    assert worker.heard() == []


async def test_a_woken_run_without_a_slot_ends_and_its_process_is_told(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    await worker.wait_parked(run, ms=HOUR)
    worker.room["async"] = 0
    await kit.advance("1h")
    assert await kit.status(run) is Status.PENDING
    await kit.engine.cancel_run(run)
    assert await cancelled(kit, run)
    assert (await worker.next("cancel", run))["token"] == worker.tokens[run]
    worker.room["async"] = 1
    kit.engine.pump()
    await kit.settled()
    assert worker.heard() == []


async def test_a_park_that_crosses_the_cancel(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0:0", "wait", None, for_ms=HOUR)
    await kit.engine.cancel_run(run)
    await worker.park(run, "0:0")
    assert await kit.status(run) is Status.EXECUTING
    await worker.evicted(run)
    assert await cancelled(kit, run)


async def test_a_cancelled_run_whose_worker_is_gone(kit: EngineKit, worker: Worker) -> None:
    lost, swept, restarted = [await kit.start() for _ in range(3)]
    for run in (lost, swept, restarted):
        await kit.engine.cancel_run(run)
    await worker.lost(lost)
    assert await cancelled(kit, lost)
    await kit.restart()
    await kit.settled()
    assert await cancelled(kit, swept)
    assert await cancelled(kit, restarted)


async def test_cancelling_twice_is_the_same_as_once(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await kit.engine.cancel_run(run)
    await kit.engine.cancel_run(run)
    assert len(worker.heard("cancel")) == 1
    await worker.done(run, "cancelled")
    await kit.engine.cancel_run(run)
    assert await cancelled(kit, run)
    assert kit.kinds(run).count("finished") == 1


async def test_a_final_run_stays_as_it_is_and_so_do_its_children(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    child = (await worker.op(run, "0:0", "trigger", "child"))["result"]["id"]
    await worker.ok(run)
    await kit.engine.cancel_run(run)
    assert await kit.status(run) is Status.COMPLETED
    assert await kit.status(child) is Status.EXECUTING


async def test_all_descendants_are_cancelled(kit: EngineKit, worker: Worker) -> None:
    root = await kit.start()
    await worker.op(root, "0:0", "trigger", "child", options={"delay": "1h"})
    await worker.op(root, "0:1", "trigger_and_wait", "child")
    await worker.park(root, "0:1")
    middle = (await worker.started())["id"]
    await worker.op(middle, "0:0", "batch_trigger_and_wait", "other", items=[{"task": "other"}] * 3)
    await worker.park(middle, "0:0")
    leaves = [(await worker.started())["id"] for _ in range(3)]
    await worker.ok(leaves[0])
    await kit.engine.cancel_run(root)
    assert await cancelled(kit, root)
    assert await cancelled(kit, middle)
    for leaf in leaves[1:]:
        await worker.next("cancel", leaf)
        await worker.done(leaf, "cancelled")
        assert await cancelled(kit, leaf)
    assert await kit.status(leaves[0]) is Status.COMPLETED
    assert kit.query("SELECT count(*) FROM runs WHERE finished_at IS NULL") == [(0,)]
    assert kit.query("SELECT status, remaining FROM batches") == [("COMPLETED", 0)]
    assert kit.query("SELECT count(*) FROM ops") == [(0,)]


async def test_a_thousand_children_behind_a_thousand_finished_ones(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 1
    root = await kit.start()
    for n in range(2):
        await worker.op(root, f"0:{n}", "batch_trigger", "child", items=[{"task": "child"}] * 1000)
        if n == 0:
            children = [run for (run,) in kit.query("SELECT id FROM runs WHERE parent_id = ?", root)]
            for child in children[:20]:
                await kit.engine.cancel_run(child)
    await kit.engine.cancel_run(root)
    assert kit.query("SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1") == [
        ("CANCELED", 2000),
        ("EXECUTING", 1),
    ]


async def test_a_child_that_is_cancelled_does_not_cancel_its_parent(kit: EngineKit, worker: Worker) -> None:
    parent = await kit.start()
    await worker.op(parent, "0:0", "trigger_and_wait", "child")
    await worker.park(parent, "0:0")
    child = (await worker.started())["id"]
    await kit.engine.cancel_run(child)
    await worker.done(child, "cancelled")
    result = (await worker.next("resume", parent))["ops"][0]["result"]
    assert (result["ok"], result["error"]) == (False, BY_USER)
