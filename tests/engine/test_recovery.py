"""What survives: restarts, workers that are gone, leases."""

from typing import NoReturn

import pytest

from tests.engine.kit import HOUR, SECOND, EngineKit, Worker, item
from triggerdev import errors
from triggerdev.engine.model import Status


async def test_an_executing_run_goes_on_in_the_same_attempt_after_a_restart(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    child = (await worker.op(run, "0:0", "trigger", "child"))["result"]
    token = worker.tokens[run]
    await kit.restart()
    started = await kit.worker.started(run)
    assert (started["attempt"], started["resumed"], started["token"]) == (1, True, token + 1)
    assert [op["result"] for op in started["record"]] == [child]
    await kit.worker.ok(run)
    ended = await kit.run(run)
    assert (ended.status, ended.attempt) == (Status.COMPLETED, 1)


async def test_a_run_without_a_record_is_resumed_with_an_empty_one(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await kit.restart()
    started = await kit.worker.started(run)
    assert (started["resumed"], started["record"]) == (True, [])


async def test_a_thousand_runs_in_every_state_reach_their_end(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 300
    batch = await kit.engine.create_batch(run_count=1000)
    items = [item("job", None, index=n, **({"delay": "1h"} if n >= 900 else {})) for n in range(1000)]
    await kit.engine.add_batch_items(batch.id, items)
    await kit.settled()
    executing = worker.executing
    assert len(executing) == 300
    for run in executing[:50]:
        worker.session.receive([worker.op_message(run, "0:0", "wait", None, for_ms=30 * 60 * SECOND)])
        worker.session.receive([worker.message("park", run, ops=["0:0"], usage_ms=0)])
    await worker.session.flushed()
    for run in executing[50:100]:
        await worker.fail(run)
    worker.room["async"] = 0
    await kit.settled()

    await kit.restart(down_ms=HOUR)
    worker = kit.worker
    worker.room["async"] = 1000
    kit.engine.pump()
    await kit.advance(0)
    seen: dict[str, int] = {}
    while started := worker.heard("start"):
        for message in started:
            seen[message["run"]["id"]] = message["run"]["attempt"]
        done = [worker.message("done", m["run"]["id"], outcome="ok", output="1") for m in started]
        await worker.say(*done)
        kit.engine.pump()
        await kit.settled()
    assert len(seen) == 1000
    assert {seen[run] for run in executing[:50]} == {1}
    assert {seen[run] for run in executing[50:100]} == {2}
    assert kit.query("SELECT status, count(*) FROM runs GROUP BY 1") == [("COMPLETED_SUCCESSFULLY", 1000)]
    assert (await kit.batch(batch.id)).status == "COMPLETED"


async def test_a_waiting_run_is_not_resumed_in_a_process_that_is_gone(kit: EngineKit, worker: Worker) -> None:
    """The new worker has the old one's name, as in `trigger dev`."""
    waiting, woken = await kit.start(), await kit.start()
    await worker.wait_parked(waiting, ms=HOUR)
    await worker.wait_parked(woken, ms=SECOND)
    worker.room["async"] = 0
    await kit.advance("1s")
    await kit.restart()
    assert (await kit.worker.started(woken))["resumed"] is True
    await kit.advance("1h")
    assert (await kit.worker.started(waiting))["resumed"] is True
    assert kit.worker.heard("resume") == []


async def test_a_wait_that_ended_while_nothing_ran_wakes_at_the_start(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.wait_parked(run, ms=SECOND)
    await kit.restart(down_ms=HOUR)
    started = await kit.worker.started(run)
    assert [op["done"] for op in started["record"]] == [True]


async def test_delays_and_retries_that_ended_while_nothing_ran(kit: EngineKit, worker: Worker) -> None:
    delayed = await kit.trigger("job", None, delay="10m")
    retrying = await kit.start("child")
    await worker.fail(retrying)
    expiring = await kit.trigger("other", None, ttl="5m", delay="1m")
    await kit.restart(down_ms=HOUR)
    await kit.worker.started(delayed)
    assert (await kit.worker.started(retrying))["attempt"] == 2
    assert await kit.status(expiring) is Status.EXECUTING  # its TTL began when it came into the queue


async def test_the_runs_of_a_lost_worker_are_taken_over_when_its_lease_is_over(
    kit: EngineKit, worker: Worker
) -> None:
    executing, parked = await kit.start(), await kit.start()
    await worker.wait_parked(parked, ms=HOUR)
    await kit.advance("10s")
    kit.engine.disconnect("w1")
    await kit.settled()
    other = kit.connect("w2")
    await kit.advance("30s")
    assert other.heard("start") == []
    await kit.advance("10s")
    assert (await other.started(executing))["resumed"] is True
    await kit.advance("1h")
    assert (await other.started(parked))["resumed"] is True
    assert kit.query("SELECT id FROM workers") == [("w2",)]


async def test_a_worker_that_goes_before_its_first_sweep_is_noticed_too(
    kit: EngineKit, worker: Worker
) -> None:
    short = kit.connect("short")
    worker.room["async"] = 0
    run = await kit.trigger()
    await short.started(run)
    kit.engine.disconnect("short")
    await kit.settled()
    worker.room["async"] = 1
    await kit.advance("31s")
    await worker.started(run)


async def test_a_worker_that_goes_while_the_disk_is_full_is_noticed_too(
    kit: EngineKit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> NoReturn:
        raise errors.StorageFullError("no space left")

    short = kit.connect("short")
    worker.room["async"] = 0
    run = await kit.trigger()
    await short.started(run)
    with monkeypatch.context() as patched:
        patched.setattr(kit.store, "write", full)
        kit.engine.disconnect("short")
        with pytest.raises(errors.StorageFullError):
            await kit.settled()
    worker.room["async"] = 1
    await kit.advance("31s")
    await worker.started(run)


async def test_a_connected_worker_keeps_its_runs_for_ever(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await kit.advance("1d")
    assert await kit.status(run) is Status.EXECUTING
    assert worker.heard() == []


async def test_a_worker_whose_session_fails_is_not_the_engine_s_problem(
    kit: EngineKit, worker: Worker
) -> None:
    def broken(_messages: object) -> None:
        raise ConnectionError("gone")

    worker.room["async"] = 0
    kit.engine.connect("broken", broken, lambda: {"async": 1, "sync": 0})
    run = await kit.trigger()
    await kit.settled()
    assert await kit.status(run) is Status.EXECUTING
    kit.engine.disconnect("broken")
    await kit.settled()
    worker.room["async"] = 1
    await kit.advance("31s")
    assert (await worker.started(run))["token"] == 2
