"""Runs that trigger runs, and wait for them."""

import pytest

from tests.engine.kit import BOOM, HOUR, EngineKit, Worker, crash
from triggerdev.engine.model import Status


async def parent_and_child(kit: EngineKit, **options: object) -> tuple[str, str]:
    """A parent that is parked until its child, which executes, has ended."""
    parent = await kit.start("job")
    args = {"payload": '{"n":1}', "payload_type": "application/json", "options": options}
    reply = await kit.worker.op(parent, "0:0", "trigger_and_wait", "child", **args)
    assert reply["pending"]
    await kit.worker.park(parent, "0:0")
    child = await kit.worker.started()
    assert (child["task"], child["parent_id"], child["root_id"], child["depth"]) == (
        "child",
        parent,
        parent,
        1,
    )
    return parent, child["id"]


async def test_the_child_s_output_comes_to_its_parent(kit: EngineKit, worker: Worker) -> None:
    parent, child = await parent_and_child(kit)
    await worker.ok(child, {"n": 2})
    resumed = await worker.next("resume", parent)
    assert resumed["ops"] == [
        {
            "op": "0:0",
            "kind": "trigger_and_wait",
            "target": "child",
            "done": True,
            "result": {
                "ok": True,
                "id": child,
                "task": "child",
                "output": '{"n":2}',
                "output_type": "application/json",
            },
        }
    ]
    await worker.ok(parent)
    assert (await kit.run(child)).trigger_function == "triggerAndWait"


async def test_a_failing_child_is_a_result_not_a_failure(kit: EngineKit, worker: Worker) -> None:
    parent, child = await parent_and_child(kit, maxAttempts=1)
    await worker.fail(child)
    result = (await worker.next("resume", parent))["ops"][0]["result"]
    assert result == {"ok": False, "id": child, "task": "child", "error": BOOM}


async def test_the_parent_waits_until_the_child_has_no_attempts_left(kit: EngineKit, worker: Worker) -> None:
    parent, child = await parent_and_child(kit)
    await worker.fail(child)
    await kit.advance("5s")
    assert worker.heard("resume") == []
    await worker.started(child)
    await worker.ok(child)
    await worker.next("resume", parent)


@pytest.mark.parametrize("end", ["cancelled", "expired", "crashed", "timed out"])
async def test_every_end_of_a_child_wakes_the_parent(kit: EngineKit, worker: Worker, end: str) -> None:
    parent = await kit.start("job")
    worker.room["async"] = 0 if end == "expired" else 9
    options = {"ttl": "1m", "maxAttempts": 1}
    await worker.op(parent, "0:0", "trigger_and_wait", "child", options=options)
    await worker.park(parent, "0:0")
    child = (await kit.engine.retrieve_run(parent)).children[0].id
    if end == "expired":
        await kit.advance("1m")
        worker.room["async"] = 9
        kit.engine.pump()
    else:
        await worker.started(child)
    if end == "cancelled":
        await kit.engine.cancel_run(child)
        await worker.done(child, "cancelled")
    elif end == "crashed":
        await worker.done(child, "crashed", error=crash("TASK_PROCESS_SIGSEGV"))
    elif end == "timed out":
        await worker.done(child, "timed_out")
    result = (await worker.next("resume", parent))["ops"][0]["result"]
    assert (result["ok"], result["id"]) == (False, child)
    assert result["error"]


async def test_a_child_that_ends_before_its_parent_parks(kit: EngineKit, worker: Worker) -> None:
    parent = await kit.start("job")
    await worker.op(parent, "0:0", "trigger_and_wait", "child")
    child = (await worker.started())["id"]
    await worker.ok(child, 1)
    done = await worker.next("op_done", parent)
    assert done["result"]["output"] == "1"
    await worker.park(parent, "0:0")
    await worker.next("resume", parent)


async def test_a_cached_child_that_is_finished_answers_at_once(kit: EngineKit, worker: Worker) -> None:
    first = await kit.start("child", None, idempotencyKey="k")
    await worker.ok(first, 5)
    parent = await kit.start("job")
    reply = await worker.op(parent, "0:0", "trigger_and_wait", "child", options={"idempotencyKey": "k"})
    assert (reply["result"]["id"], reply["result"]["output"]) == (first, "5")


async def test_a_cached_child_that_goes_on_is_waited_for(kit: EngineKit, worker: Worker) -> None:
    first = await kit.start("child", None, idempotencyKey="k")
    parents = [await kit.start("job") for _ in range(2)]
    for parent in parents:
        await worker.op(parent, "0:0", "trigger_and_wait", "child", options={"idempotencyKey": "k"})
        await worker.park(parent, "0:0")
    await worker.ok(first, 5)
    for parent in parents:
        result = (await worker.next("resume", parent))["ops"][0]["result"]
        assert (result["id"], result["output"]) == (first, "5")


async def test_runs_that_would_wait_for_each_other_are_refused(kit: EngineKit, worker: Worker) -> None:
    first = await kit.start("child", None, idempotencyKey="k")
    await worker.op(first, "0:0", "batch_trigger_and_wait", "other", items=[{"task": "other"}])
    await worker.park(first, "0:0")
    second = (await worker.started())["id"]
    wait_for_first = {"options": {"idempotencyKey": "k"}}
    reply = await worker.op(second, "0:0", "trigger_and_wait", "child", **wait_for_first)
    assert f"Run {second} cannot wait for {first}" in reply["error"]
    await worker.ok(second)
    await worker.next("resume", first)
    reply = await worker.op(first, "0:1", "trigger_and_wait", "child", **wait_for_first)
    assert "neither would ever end" in reply["error"]  # it would wait for itself
    stranger = await kit.start()
    assert (await worker.op(stranger, "0:0", "trigger_and_wait", "child", **wait_for_first))["pending"]


async def test_a_batch_whose_keys_find_who_waits_for_it_is_refused(kit: EngineKit, worker: Worker) -> None:
    first = await kit.start("child", None, idempotencyKey="k")
    items: list[dict[str, object]] = [{"task": "other"}]
    await worker.op(first, "0:0", "batch_trigger_and_wait", "other", items=items, idempotency_key="b")
    await worker.park(first, "0:0")
    second = (await worker.started())["id"]
    again = {"items": items, "idempotency_key": "b"}
    reply = await worker.op(second, "0:0", "batch_trigger_and_wait", "other", **again)
    assert "neither would ever end" in reply["error"]
    items = [{"task": "other"}, {"task": "child", "options": {"idempotencyKey": "k"}}]
    reply = await worker.op(second, "0:1", "batch_trigger_and_wait", "child,other", items=items)
    assert f"Run {second} cannot wait for {first}" in reply["error"]
    assert kit.query("SELECT count(*) FROM runs") == [(2,)]
    stranger = await kit.start()
    assert (await worker.op(stranger, "0:0", "batch_trigger_and_wait", "child,other", items=items))["pending"]
    assert (await worker.op(second, "0:2", "batch_trigger", "child,other", items=items))["result"]["id"]


async def test_a_child_that_cannot_be_triggered_is_told_to_its_parent(kit: EngineKit, worker: Worker) -> None:
    parent = await kit.start("job")
    for branch, kind in enumerate(("trigger", "trigger_and_wait")):
        reply = await worker.op(parent, f"0.{branch}:0", kind, "chlid")
        assert reply["error_kind"] == "UnknownTaskError"
        assert "'child'" in reply["error"]
        reply = await worker.op(parent, f"0.{branch}:1", kind, "child", payload="x" * 10_485_761)
        assert "payload" in reply["error"]
        reply = await worker.op(parent, f"0.{branch}:2", kind, "child", options={"delay": "soon"})
        assert "Invalid delay" in reply["error"]
    assert kit.query("SELECT count(*) FROM runs") == [(1,)]


async def test_what_was_refused_stays_refused_in_a_replay(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job")
    first = await worker.op(run, "0:0", "trigger", "later")
    assert first["error_kind"] == "UnknownTaskError"
    again = await worker.op(run, "0:0", "trigger", "child")  # such as one that a new version has
    assert (again["error_kind"], again["error"]) == (first["error_kind"], first["error"])
    assert kit.query("SELECT count(*) FROM runs") == [(1,)]
    await worker.lost(run)
    (recorded,) = (await worker.started(run))["record"]
    assert (recorded["op"], recorded["done"]) == ("0:0", True)
    assert recorded["result"] == {name: first[name] for name in ("error", "error_kind")}


async def test_a_parent_that_fails_leaves_its_children_alone(kit: EngineKit, worker: Worker) -> None:
    parent, child = await parent_and_child(kit)
    await worker.fail(parent, skip_retry=True)
    assert await kit.status(child) is Status.EXECUTING
    await worker.ok(child)
    assert await kit.status(parent) is Status.FAILED


async def test_a_child_of_an_earlier_attempt_does_not_answer_the_new_one(
    kit: EngineKit, worker: Worker
) -> None:
    parent, first = await parent_and_child(kit)
    await worker.fail(parent)
    await kit.advance("5s")
    await worker.started(parent)
    await worker.op(parent, "0:0", "trigger_and_wait", "child")
    await worker.park(parent, "0:0")
    second = (await worker.started())["id"]
    await worker.ok(first, "old")
    assert await kit.status(parent) is Status.WAITING
    await worker.ok(second, "new")
    assert (await worker.next("resume", parent))["ops"][0]["result"]["output"] == '"new"'


async def test_a_tree_of_waiting_runs_unwinds(kit: EngineKit, worker: Worker) -> None:
    chain = [await kit.start("job")]
    for _ in range(20):
        await worker.op(chain[-1], "0:0", "trigger_and_wait", "child")
        await worker.park(chain[-1], "0:0")
        chain.append((await worker.started())["id"])
    await worker.ok(chain[-1], 0)
    for depth, run in enumerate(reversed(chain[:-1])):
        resumed = await worker.next("resume", run)
        assert resumed["ops"][0]["result"]["output"] == str(depth)
        await worker.ok(run, depth + 1)
    assert kit.query("SELECT DISTINCT status FROM runs") == [("COMPLETED_SUCCESSFULLY",)]


async def test_several_children_at_once(kit: EngineKit, worker: Worker) -> None:
    """gather over trigger_and_wait and a wait: the results come as they are there."""
    parent = await kit.start("job")
    for n in range(3):
        await worker.op(parent, f"0.{n}:0", "trigger_and_wait", "child")
    await worker.op(parent, "0.3:0", "wait", None, for_ms=HOUR)
    await worker.park(parent, *(f"0.{n}:0" for n in range(4)))
    children = [(await worker.started())["id"] for _ in range(3)]
    await worker.ok(children[2], 2)
    assert [op["op"] for op in (await worker.next("resume", parent))["ops"]] == ["0.2:0"]
    await worker.park(parent, "0.0:0", "0.1:0", "0.3:0")
    await worker.say(*(worker.message("done", child, outcome="ok", output="1") for child in children[:2]))
    assert [op["op"] for op in (await worker.next("resume", parent))["ops"]] == ["0.0:0", "0.1:0"]
