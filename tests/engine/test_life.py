"""The life of a run, from the trigger to its result."""

import asyncio

import pytest

from tests.engine.kit import BOOM, EngineKit, Worker, item, manifest, task
from triggerdev import errors
from triggerdev.engine.model import Status, TriggerItem


async def test_a_run_is_queued_started_and_completed(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", {"n": 1})
    message = await worker.started()
    assert (message["id"], message["task"], message["payload"]) == (run, "job", '{"n":1}')
    assert (message["attempt"], message["record"]) == (1, [])
    assert await kit.status(run) is Status.EXECUTING

    await worker.ok(run, {"done": True}, usage_ms=7)

    ended = await kit.run(run)
    assert (ended.status, ended.output, ended.usage_ms) == (Status.COMPLETED, '{"done":true}', 7)
    assert ended.finished_at == kit.clock.now()
    assert kit.kinds(run) == ["queued", "started", "finished"]


async def test_a_trigger_is_on_disk_when_it_answers(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger()
    assert kit.query("SELECT count(*) FROM runs WHERE id = ?", run) == [(1,)]


async def test_the_start_message_tells_all_that_the_worker_needs(kit: EngineKit, worker: Worker) -> None:
    await kit.trigger("job", None, tags=["a"], metadata={"k": 1}, machine="micro", priority=2, maxDuration=9)
    message = await worker.started()
    assert (message["tags"], message["metadata"], message["machine"]) == (["a"], {"k": 1}, "micro")
    assert (message["max_duration_ms"], message["max_attempts"], message["priority"]) == (9000, 3, 2)
    assert (message["queue"], message["depth"], message["is_replay"]) == ("task/job", 0, False)
    assert "resumed" not in message


async def test_the_version_is_that_of_the_claim(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    run = await kit.trigger()
    version = await kit.activate(task("job"))
    worker.room["async"] = 1
    kit.engine.pump()
    assert (await worker.started(run))["version"] == version
    assert (await kit.run(run)).version == version


async def test_versions_count_up_within_a_day(kit: EngineKit) -> None:
    assert await kit.engine.next_version() == "20260101.2"
    assert await kit.engine.next_version() == "20260101.3"
    kit.clock.advance(86_400_000)
    assert await kit.engine.next_version() == "20260102.1"


async def test_an_unknown_task_is_refused_with_the_nearest_id(kit: EngineKit) -> None:
    with pytest.raises(errors.UnknownTaskError) as caught:
        await kit.trigger("chlid")
    assert caught.value.nearest == "child"
    assert "'chlid' not found" in str(caught.value)
    with pytest.raises(errors.UnknownTaskError) as caught:
        await kit.trigger("zzzzzz")
    assert caught.value.nearest is None


async def test_an_unknown_run_is_refused(kit: EngineKit) -> None:
    for call in (kit.engine.retrieve_run, kit.engine.cancel_run):
        with pytest.raises(errors.NoSuchRunError):
            await call("run_nowhere")
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.wait_run("run_nowhere", since_rev=0, timeout=1)


async def test_whoever_waits_for_a_run_hears_of_each_change(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    before = (await kit.run(run)).rev
    waiting = asyncio.create_task(kit.engine.wait_run(run, since_rev=before, timeout=10))
    await worker.op(run, "0:0", "tags", None, tags=["x"])
    assert (await waiting).run.tags == ["x"]


async def test_waiting_for_a_finished_run_answers_at_once(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.ok(run)
    detail = await kit.engine.wait_run(run, since_rev=10**9, timeout=10)
    assert detail.run.status is Status.COMPLETED


async def test_waiting_ends_at_its_timeout(kit: EngineKit) -> None:
    run = await kit.trigger("job")
    detail = await kit.engine.wait_run(run, since_rev=10**9, timeout=0.001)
    assert not detail.run.status.is_final


async def test_runs_of_a_removed_task_stay_queued_until_it_is_back(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    run = await kit.trigger("job")
    await kit.activate(task("child"))
    worker.room["async"] = 5
    kit.engine.pump()
    await kit.settled()
    assert worker.heard("start") == []
    assert await kit.status(run) is Status.PENDING
    await kit.activate(task("job"))
    assert (await worker.started())["id"] == run


async def test_a_run_of_a_removed_task_that_executes_ends_as_usual(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, maxAttempts=1)
    await kit.activate(task("child"))
    await worker.fail(run)
    assert await kit.status(run) is Status.FAILED


async def test_a_payload_of_three_megabytes_and_odd_characters_arrives_unchanged(
    kit: EngineKit, worker: Worker
) -> None:
    for text in ("x" * 3_145_728, '"a\\u0000b\x00c"', '"\\ud800"', str(2**200), "ü🚀"):
        run = (await kit.engine.trigger(TriggerItem("job", text, "text/plain"))).id
        message = await worker.started(run)
        assert message["payload"] == text
        assert (await kit.run(run)).payload == text


async def test_text_that_cannot_be_stored_is_refused_alone(kit: EngineKit, worker: Worker) -> None:
    good = kit.engine.trigger(item("job"))
    with pytest.raises(errors.InvalidOptionError, match="surrogate"):
        await kit.engine.trigger(TriggerItem("job", "half \ud800"))
    assert (await good).is_cached is False


async def test_metadata_keeps_integers_beyond_64_bits(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, metadata={"big": 2**80})
    assert (await worker.started(run))["metadata"] == {"big": 2**80}


async def test_a_listener_that_fails_does_not_keep_callers_waiting(kit: EngineKit, worker: Worker) -> None:
    def broken(_event: object) -> None:
        raise RuntimeError("listener")

    kit.engine.listen(broken)
    run = await kit.start()
    await worker.ok(run)
    assert await kit.status(run) is Status.COMPLETED


async def test_an_outcome_that_cannot_be_stored_fails_the_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.done(run, "ok", output="half \udc80", output_type="text/plain")
    ended = await kit.run(run)
    assert ended.status is Status.FAILED
    assert ended.error is not None and ended.error["code"] == "TASK_OUTPUT_ERROR"


async def test_an_operation_that_cannot_be_stored_is_refused(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    reply = await worker.op(run, "0:0", "trigger", "child", payload="half \udc80")
    assert "surrogate" in reply["error"]
    reply = await worker.op(run, "0:0", "wait", None)
    assert "KeyError" in reply["error"]
    await worker.ok(run)
    assert await kit.status(run) is Status.COMPLETED


async def test_a_manifest_without_tasks_gives_out_nothing(kit: EngineKit, worker: Worker) -> None:
    await kit.engine.activate("20260101.9", manifest())
    assert kit.engine.list_tasks() == []
    with pytest.raises(errors.UnknownTaskError):
        await kit.trigger()


async def test_relatives_are_shown_with_a_run(kit: EngineKit, worker: Worker) -> None:
    root = await kit.start()
    reply = await worker.op(root, "0:0", "trigger", "child")
    child = reply["result"]["id"]
    await worker.started(child)
    reply = await worker.op(child, "0:0", "trigger", "other")
    grandchild = reply["result"]["id"]
    detail = await kit.engine.retrieve_run(grandchild)
    assert detail.parent is not None and detail.parent.id == child
    assert detail.root is not None and detail.root.id == root
    assert detail.run.depth == 2
    assert [run.id for run in (await kit.engine.retrieve_run(root)).children] == [child]


async def test_an_engine_that_has_stopped_refuses(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await kit.engine.stop()
    with pytest.raises(errors.EngineError, match="stopped"):
        await kit.trigger()
    await worker.ok(run)  # comes too late, and is dropped quietly
    await kit.open()
    assert (await kit.worker.started(run))["attempt"] == 1


async def test_the_error_of_a_failed_run_is_kept(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, maxAttempts=1)
    await worker.fail(run)
    assert (await kit.run(run)).error == BOOM
