"""Batches: over HTTP in two phases, and from inside a run."""

import pytest

from tests.engine.kit import HOUR, MINUTE, EngineKit, Worker, item
from triggerdev import errors
from triggerdev.engine.model import BatchCreated, ItemsAccepted


async def filled(kit: EngineKit, count: int, **options: object) -> tuple[str, list[str]]:
    """A sealed batch of `job` runs and their ids."""
    batch = (await kit.engine.create_batch(run_count=count)).id
    items = [item("job", {"n": n}, index=n, **options) for n in range(count)]
    assert (await kit.engine.add_batch_items(batch, items)).sealed
    await kit.settled()
    return batch, (await kit.batch(batch)).runs


def wire(*tasks: str, **options: object) -> list[dict[str, object]]:
    return [{"task": name, "payload": str(n), "options": options} for n, name in enumerate(tasks)]


async def test_a_batch_is_completed_when_every_run_is_final(kit: EngineKit, worker: Worker) -> None:
    batch, runs = await filled(kit, 3)
    assert (await kit.batch(batch)).status == "PROCESSING"
    await worker.ok(runs[0])
    await worker.fail(runs[1], skip_retry=True)
    assert (await kit.batch(batch)).remaining == 1
    await worker.fail(runs[2])
    assert (await kit.batch(batch)).status == "PROCESSING"
    await kit.advance("5s")
    await worker.ok(runs[2])
    ended = await kit.batch(batch)
    assert (ended.status, ended.remaining, ended.completed_at) == ("COMPLETED", 0, kit.clock.now())


async def test_items_come_in_several_streams_in_any_order(kit: EngineKit) -> None:
    batch = (await kit.engine.create_batch(run_count=4)).id
    first = await kit.engine.add_batch_items(batch, [item("job", 3, index=3), item("job", 0, index=0)])
    assert first == ItemsAccepted(2, 0, sealed=False)
    again = [item("job", n, index=n) for n in (0, 1, 3)]
    assert await kit.engine.add_batch_items(batch, again) == ItemsAccepted(1, 2, sealed=False)
    last = [item("job", 2, index=2), item("job", 2, index=2)]
    assert await kit.engine.add_batch_items(batch, last) == ItemsAccepted(1, 1, sealed=True)
    assert await kit.engine.add_batch_items(batch, again) == ItemsAccepted(0, 3, sealed=True)
    payloads = [(await kit.run(run)).payload for run in (await kit.batch(batch)).runs]
    assert payloads == ["0", "1", "2", "3"]


async def test_an_index_outside_of_the_batch_is_refused_with_all_of_its_stream(kit: EngineKit) -> None:
    batch = (await kit.engine.create_batch(run_count=2)).id
    for index in (2, -1, None):
        with pytest.raises(errors.InvalidOptionError, match="index"):
            await kit.engine.add_batch_items(batch, [item("job", 0, index=0), item("job", 1, index=index)])
    assert (await kit.batch(batch)).runs == []


@pytest.mark.parametrize("count", [0, -1, 1001])
async def test_the_size_of_a_batch_is_limited(kit: EngineKit, count: int) -> None:
    with pytest.raises(errors.InvalidOptionError, match="runCount"):
        await kit.engine.create_batch(run_count=count)


async def test_an_unknown_batch_is_refused(kit: EngineKit) -> None:
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.retrieve_batch("batch_none")
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.add_batch_items("batch_none", [])


async def test_a_known_key_answers_with_its_batch(kit: EngineKit) -> None:
    made = await kit.engine.create_batch(run_count=2, idempotency_key="k", idempotency_ttl_ms=HOUR)
    again = await kit.engine.create_batch(run_count=9, idempotency_key="k")
    assert again == BatchCreated(made.id, 2, is_cached=True)
    await kit.advance("1h")
    assert (await kit.engine.create_batch(run_count=9, idempotency_key="k")).is_cached is False


async def test_items_that_cannot_be_triggered_are_noted(kit: EngineKit, worker: Worker) -> None:
    batch = (await kit.engine.create_batch(run_count=3)).id
    items = [item("job", 0, index=0), item("jbo", 1, index=1), item("job", 2, index=2, delay="soon")]
    assert (await kit.engine.add_batch_items(batch, items)).accepted == 3
    found = await kit.batch(batch)
    assert [(problem.index, problem.task) for problem in found.errors] == [(1, "jbo"), (2, "job")]
    assert "Did you mean 'job'" in found.errors[0].error
    assert len(found.runs) == 1
    await worker.started(found.runs[0])
    await worker.ok(found.runs[0])
    assert (await kit.batch(batch)).status == "PARTIAL_FAILED"


async def test_a_batch_without_a_single_run_is_over_at_once(kit: EngineKit) -> None:
    batch = (await kit.engine.create_batch(run_count=2)).id
    await kit.engine.add_batch_items(batch, [item("nope", 0, index=0), item("nope", 1, index=1)])
    found = await kit.batch(batch)
    assert (found.status, found.completed_at, found.runs) == ("PARTIAL_FAILED", kit.clock.now(), [])


async def test_cached_items_count_until_their_runs_are_final(kit: EngineKit, worker: Worker) -> None:
    ended = await kit.start("job", None, idempotencyKey="ended")
    await worker.ok(ended)
    going = await kit.start("job", None, idempotencyKey="going")
    batch = (await kit.engine.create_batch(run_count=4)).id
    keys = ["ended", "going", "new", "new"]
    items = [item("job", None, index=n, idempotencyKey=key) for n, key in enumerate(keys)]
    await kit.engine.add_batch_items(batch, items)
    found = await kit.batch(batch)
    assert found.runs[:2] == [ended, going]
    assert found.runs[2] == found.runs[3]
    await worker.ok(found.runs[2])
    assert (await kit.batch(batch)).status == "PROCESSING"
    await worker.ok(going)
    assert (await kit.batch(batch)).status == "COMPLETED"


async def test_one_run_in_two_batches(kit: EngineKit, worker: Worker) -> None:
    first, runs = await filled(kit, 1, idempotencyKey="k")
    second, same = await filled(kit, 1, idempotencyKey="k")
    assert runs == same
    await worker.ok(runs[0])
    assert (await kit.batch(first)).status == (await kit.batch(second)).status == "COMPLETED"


async def test_a_batch_whose_items_do_not_come_is_given_up(kit: EngineKit, worker: Worker) -> None:
    batch = (await kit.engine.create_batch(run_count=2, idempotency_key="k")).id
    await kit.engine.add_batch_items(batch, [item("job", 0, index=0)])
    await kit.advance(30 * MINUTE)
    assert (await kit.batch(batch)).status == "PENDING"
    await kit.advance(1)
    assert (await kit.batch(batch)).status == "ABORTED"
    with pytest.raises(errors.EngineError, match="ABORTED"):
        await kit.engine.add_batch_items(batch, [item("job", 1, index=1)])
    await worker.ok((await kit.batch(batch)).runs[0])
    assert (await kit.batch(batch)).status == "ABORTED"
    assert (await kit.engine.create_batch(run_count=2, idempotency_key="k")).id != batch


async def test_cancelled_runs_count_as_final(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    batch, runs = await filled(kit, 2)
    for run in runs:
        await kit.engine.cancel_run(run)
    assert (await kit.batch(batch)).status == "COMPLETED"


# -- from inside a run


async def test_a_run_gets_the_results_of_its_batch_in_the_order_of_items(
    kit: EngineKit, worker: Worker
) -> None:
    parent = await kit.start("other")
    items = wire("job", "child", "job")
    await worker.op(parent, "0:0", "batch_trigger_and_wait", "child,job", items=items)
    await worker.park(parent, "0:0")
    started = [await worker.started() for _ in range(3)]
    assert [run["task"] for run in started] == ["job", "child", "job"]
    await worker.ok(started[2]["id"], "third")
    await worker.fail(started[1]["id"], skip_retry=True)
    assert worker.heard("resume") == []
    await worker.ok(started[0]["id"], "first")
    result = (await worker.next("resume", parent))["ops"][0]["result"]
    assert [run["id"] for run in result["runs"]] == [run["id"] for run in started]
    assert [run["ok"] for run in result["runs"]] == [True, False, True]
    assert [run.get("output") for run in result["runs"]] == ['"first"', None, '"third"']
    assert (await kit.batch(result["id"])).status == "COMPLETED"
    assert (await kit.run(started[0]["id"])).trigger_function == "batchTriggerAndWait"


async def test_all_runs_of_a_batch_end_in_one_frame(kit: EngineKit, worker: Worker) -> None:
    parent = await kit.start("other")
    await worker.op(parent, "0:0", "batch_trigger_and_wait", "job", items=wire(*["job"] * 50))
    await worker.park(parent, "0:0")
    runs = [(await worker.started())["id"] for _ in range(50)]
    await worker.say(
        *(worker.message("done", run, outcome="ok", output=str(n)) for n, run in enumerate(runs))
    )
    result = (await worker.next("resume", parent))["ops"][0]["result"]
    assert [run["output"] for run in result["runs"]] == [str(n) for n in range(50)]


@pytest.mark.parametrize("child_first", [True, False])
async def test_the_batch_and_the_one_who_waits_end_in_one_frame(
    kit: EngineKit, worker: Worker, child_first: bool
) -> None:
    parent = await kit.start("other")
    await worker.op(parent, "0:0", "batch_trigger_and_wait", "job", items=wire("job"))
    child = (await worker.started())["id"]
    order = (child, parent) if child_first else (parent, child)
    await worker.say(*(worker.message("done", run, outcome="ok", output="1") for run in order))
    assert kit.query("SELECT DISTINCT status FROM runs") == [("COMPLETED_SUCCESSFULLY",)]
    assert kit.query("SELECT count(*) FROM ops") == [(0,)]
    assert worker.heard("resume") == []


async def test_a_batch_of_runs_that_cannot_be_triggered_answers_the_waiting_run(
    kit: EngineKit, worker: Worker
) -> None:
    parent = await kit.start("other")
    reply = await worker.op(parent, "0:0", "batch_trigger_and_wait", "nope", items=wire("nope", "nope"))
    assert [run["error"]["code"] for run in reply["result"]["runs"]] == ["BATCH_ITEM_COULD_NOT_TRIGGER"] * 2
    assert "Task 'nope' not found" in reply["result"]["runs"][0]["error"]["message"]


async def test_a_batch_that_is_only_triggered_is_all_or_nothing(kit: EngineKit, worker: Worker) -> None:
    parent = await kit.start("other")
    reply = await worker.op(parent, "0:0", "batch_trigger", "job,nope", items=wire("job", "nope"))
    assert "1 of 2 items could not be triggered; item 1: Task 'nope' not found" in reply["error"]
    assert kit.query("SELECT count(*) FROM runs") == [(1,)]
    assert kit.query("SELECT count(*) FROM batches") == [(0,)]
    reply = await worker.op(parent, "0:1", "batch_trigger", "job", items=wire("job", "job"))
    assert (reply["result"]["run_count"], len(reply["result"]["runs"])) == (2, 2)


@pytest.mark.parametrize("kind", ["batch_trigger", "batch_trigger_and_wait"])
async def test_an_empty_or_too_large_batch_is_refused(kit: EngineKit, worker: Worker, kind: str) -> None:
    parent = await kit.start("other")
    for items in ([], wire(*["job"] * 1001)):
        assert "runCount" in (await worker.op(parent, "0:0", kind, "job", items=items))["error"]


async def test_a_batch_with_a_known_key_is_waited_for_again(kit: EngineKit, worker: Worker) -> None:
    results = []
    parents = [await kit.start("other") for _ in range(3)]
    for parent in parents[:2]:
        await worker.op(
            parent, "0:0", "batch_trigger_and_wait", "job", items=wire("job"), idempotency_key="k"
        )
        await worker.park(parent, "0:0")
    await worker.ok((await worker.started())["id"], 1)
    for parent in parents[:2]:
        results.append((await worker.next("resume", parent))["ops"][0]["result"])
    late = await worker.op(
        parents[2], "0:0", "batch_trigger_and_wait", "job", items=wire("job"), idempotency_key="k"
    )
    assert results[0] == results[1] == late["result"]
    assert kit.query("SELECT count(*) FROM batches") == [(1,)]


async def test_who_waits_for_a_batch_that_never_comes_is_told(kit: EngineKit, worker: Worker) -> None:
    batch = await kit.engine.create_batch(run_count=2, idempotency_key="nightly")
    run = await kit.start()
    items = [{"task": "child", "payload": str(n)} for n in range(2)]
    reply = await worker.op(
        run, "0:0", "batch_trigger_and_wait", "child", items=items, idempotency_key="nightly"
    )
    assert reply.get("pending")
    await worker.park(run, "0:0")
    await kit.advance("31m")
    (told,) = (await worker.next("resume", run))["ops"]
    assert f"{batch.id!r} is ABORTED" in told["result"]["error"]
