"""Fencing: what a worker says under an old token has no effect."""

from typing import Any

import pytest

from tests.engine.kit import BOOM, EngineKit, Worker
from triggerdev.engine.model import Status

STALE: dict[str, dict[str, Any]] = {
    "done ok": {"t": "done", "outcome": "ok", "output": "1"},
    "done failed": {"t": "done", "outcome": "failed", "error": BOOM},
    "done cancelled": {"t": "done", "outcome": "cancelled"},
    "done timed_out": {"t": "done", "outcome": "timed_out"},
    "park": {"t": "park", "ops": ["0:0"], "usage_ms": 1},
    "evicted": {"t": "evicted"},
    "trigger": {"t": "op", "id": 1, "op": "0:9", "kind": "trigger", "target": "child", "args": {}},
    "wait": {"t": "op", "id": 1, "op": "0:9", "kind": "wait", "target": None, "args": {"for_ms": 9}},
    "tags": {"t": "op", "id": 1, "op": "0:9", "kind": "tags", "target": None, "args": {"tags": ["x"]}},
}


async def everything(kit: EngineKit) -> list[Any]:
    return [kit.query(f"SELECT * FROM {table} ORDER BY 1") for table in ("runs", "ops", "batches", "tokens")]


@pytest.mark.parametrize("name", STALE)
@pytest.mark.parametrize("state", ["executing", "waiting", "retrying", "completed", "requeued"])
async def test_an_old_token_has_no_effect(kit: EngineKit, worker: Worker, name: str, state: str) -> None:
    run = await kit.start()
    await worker.lost(run)
    await worker.started(run)
    if state == "waiting":
        await worker.wait_parked(run)
    elif state == "retrying":
        await worker.fail(run)
    elif state == "completed":
        await worker.ok(run, 7)
    elif state == "requeued":
        worker.room["async"] = 0
        await worker.lost(run)
    await kit.settled()
    before = await everything(kit)
    await worker.say({**STALE[name], "run": run, "token": 1})
    await worker.say({"t": "lost", "runs": [[run, 1]]})
    assert await everything(kit) == before


async def test_a_stale_operation_is_answered_so_that_its_sender_ends(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.lost(run)
    await worker.started(run)
    await worker.say({**STALE["trigger"], "run": run, "token": 1})
    assert (await worker.next("reply"))["error_kind"] == "stale"


async def test_a_stale_park_is_told_to_let_go(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.lost(run)
    await worker.started(run)
    await worker.say({**STALE["park"], "run": run, "token": 1})
    message = await worker.next("cancel")
    assert (message["token"], message["reason"]) == (1, "lease_lost")


async def test_a_second_end_has_no_effect(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.say(
        worker.message("done", run, outcome="ok", output="1"),
        worker.message("done", run, outcome="failed", error=BOOM),
    )
    ended = await kit.run(run)
    assert (ended.status, ended.output) == (Status.COMPLETED, "1")
    assert kit.kinds(run).count("finished") == 1


async def test_messages_about_runs_that_never_were_are_ignored(kit: EngineKit, worker: Worker) -> None:
    for message in STALE.values():
        await worker.say({**message, "run": "run_none", "token": 1})
    await worker.say({"t": "lost", "runs": [["run_none", 1]]})
    await worker.say({"t": "something else"})
    assert kit.query("SELECT count(*) FROM runs") == [(0,)]


async def test_a_zombie_that_comes_back_cannot_complete_the_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    kit.engine.disconnect("w1")
    await kit.settled()
    other = kit.connect("w2")
    await kit.advance("31s")
    await other.started(run)
    await worker.ok(run, "from the dead")
    assert await kit.status(run) is Status.EXECUTING
    await other.ok(run, "alive")
    assert (await kit.run(run)).output == '"alive"'
