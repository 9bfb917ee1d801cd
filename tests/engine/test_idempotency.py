"""Idempotency keys: one run for each, however often and by whomever it is triggered."""

import asyncio

import pytest

from tests.engine.kit import DAY, HOUR, START, EngineKit, Worker, crash, item
from triggerdev import errors
from triggerdev.engine.model import Status


async def test_concurrent_callers_get_one_run(kit: EngineKit) -> None:
    calls = [item("job", {"n": n}, idempotencyKey=f"key-{n % 5}") for n in range(100)]
    results = await asyncio.gather(*(kit.engine.trigger(call) for call in calls))
    assert len({result.id for result in results}) == 5
    assert sum(not result.is_cached for result in results) == 5
    assert kit.query("SELECT count(*) FROM runs") == [(5,)]


async def test_a_key_belongs_to_its_task(kit: EngineKit) -> None:
    a = await kit.trigger("job", None, idempotencyKey="k")
    b = await kit.trigger("child", None, idempotencyKey="k")
    assert a != b


async def test_the_first_payload_counts(kit: EngineKit) -> None:
    run = await kit.trigger("job", {"n": 1}, idempotencyKey="k")
    assert await kit.trigger("job", {"n": 2}, idempotencyKey="k") == run
    assert (await kit.run(run)).payload == '{"n":1}'


async def test_a_key_ends_after_its_time(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, idempotencyKey="k", idempotencyKeyTTL="1h")
    await kit.advance("59m")
    assert await kit.trigger("job", None, idempotencyKey="k") == run
    await kit.advance("1m")
    assert await kit.trigger("job", None, idempotencyKey="k") != run


async def test_a_key_lasts_thirty_days_by_default(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, idempotencyKey="k")
    await kit.advance(30 * DAY - 1)
    assert await kit.trigger("job", None, idempotencyKey="k") == run
    await kit.advance(1)
    assert await kit.trigger("job", None, idempotencyKey="k") != run


async def test_a_lifetime_of_zero_keeps_nothing(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, idempotencyKey="k", idempotencyKeyTTL="0s")
    assert await kit.trigger("job", None, idempotencyKey="k") != run


async def test_a_completed_or_cancelled_run_keeps_its_key(kit: EngineKit, worker: Worker) -> None:
    completed = await kit.start("job", None, idempotencyKey="a")
    await worker.ok(completed)
    assert await kit.trigger("job", None, idempotencyKey="a") == completed
    worker.room["async"] = 0
    cancelled = await kit.trigger("job", None, idempotencyKey="b")
    await kit.engine.cancel_run(cancelled)
    assert await kit.trigger("job", None, idempotencyKey="b") == cancelled


@pytest.mark.parametrize("status", [Status.FAILED, Status.CRASHED, Status.TIMED_OUT, Status.EXPIRED])
async def test_a_run_that_failed_gives_its_key_up(kit: EngineKit, worker: Worker, status: Status) -> None:
    if status is Status.EXPIRED:
        worker.room["async"] = 0
    run = await kit.trigger("job", None, idempotencyKey="k", maxAttempts=1, ttl="1m")
    if status is Status.EXPIRED:
        await kit.advance("1m")
        worker.room["async"] = 9
    else:
        await worker.started(run)
    if status is Status.FAILED:
        await worker.fail(run)
    elif status is Status.CRASHED:
        await worker.done(run, "crashed", error=crash("TASK_PROCESS_SIGSEGV"))
    elif status is Status.TIMED_OUT:
        await worker.done(run, "timed_out")
    assert await kit.status(run) is status
    again = await kit.trigger("job", None, idempotencyKey="k")
    assert again != run
    assert await kit.trigger("job", None, idempotencyKey="k") == again


async def test_a_retrying_run_keeps_its_key(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, idempotencyKey="k")
    await worker.fail(run)
    assert await kit.trigger("job", None, idempotencyKey="k") == run


async def test_keys_survive_a_restart(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, idempotencyKey="k")
    await kit.restart()
    assert await kit.trigger("job", None, idempotencyKey="k") == run


async def test_a_key_that_is_none_is_refused(kit: EngineKit) -> None:
    keys: list[object] = ["", "x" * 2049, [], True]
    for key in keys:
        with pytest.raises(errors.InvalidOptionError, match="idempotencyKey"):
            await kit.trigger("job", None, idempotencyKey=key)
    with pytest.raises(errors.InvalidOptionError, match="idempotencyKeyTTL"):
        await kit.trigger("job", None, idempotencyKey="k", idempotencyKeyTTL="long")


async def test_the_key_is_shown_as_the_user_wrote_it(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, idempotencyKey="f" * 64, idempotencyKeyOptions={"key": ["a", 1]})
    assert (await worker.started(run))["idempotency_key"] == "a-1"
    assert started_scope(await kit.start("job", None, idempotencyKey="k"), kit) is None
    scoped = await kit.start(
        "job", None, idempotencyKey="e" * 64, idempotencyKeyOptions={"key": "k", "scope": "run"}
    )
    assert started_scope(scoped, kit) == "run"


def started_scope(run: str, kit: EngineKit) -> str | None:
    (found,) = kit.query(f"SELECT idempotency_scope FROM runs WHERE id = '{run}'")
    scope: str | None = found[0]
    return scope


async def test_a_scope_that_is_none_is_refused(kit: EngineKit) -> None:
    with pytest.raises(errors.InvalidOptionError, match=r"idempotencyKeyOptions\.scope: 'task'"):
        await kit.trigger(
            "job", None, idempotencyKey="k", idempotencyKeyOptions={"key": "k", "scope": "task"}
        )


async def test_a_freed_key_makes_a_new_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, idempotencyKey="k")
    await worker.ok(run)
    await kit.engine.reset_key("job", "k")
    again = await kit.trigger("job", None, idempotencyKey="k")
    assert again != run
    assert await kit.trigger("job", None, idempotencyKey="k") == again


async def test_only_a_key_that_holds_can_be_freed(kit: EngineKit) -> None:
    await kit.trigger("job", None, idempotencyKey="k", idempotencyKeyTTL="1h")
    for task, key in (("child", "k"), ("job", "other"), ("", "k")):
        with pytest.raises(errors.NoSuchRunError, match="no run with the idempotency key"):
            await kit.engine.reset_key(task, key)
    await kit.engine.reset_key("job", "k")
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.reset_key("job", "k")
    await kit.trigger("job", None, idempotencyKey="k", idempotencyKeyTTL="1h")
    await kit.advance("1h")
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.reset_key("job", "k")


async def test_a_run_frees_a_key_once(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    first = await kit.trigger("child", None, idempotencyKey="k")
    assert (await worker.op(run, "0:0", "reset_key", "child", key="k"))["result"] == {"id": "k"}
    second = await worker.op(run, "0:1", "trigger", "child", options={"idempotencyKey": "k"})
    assert second["result"]["id"] != first
    await worker.op(run, "0:0", "reset_key", "child", key="k")  # said again: answered from the record
    assert await kit.trigger("child", None, idempotencyKey="k") == second["result"]["id"]
    refused = await worker.op(run, "0:2", "reset_key", "child", key="unknown")
    assert refused["error_kind"] == "NoSuchRunError"


async def test_waits_with_one_key_end_together(kit: EngineKit, worker: Worker) -> None:
    first, second, other = [await kit.start() for _ in range(3)]
    assert (await worker.op(first, "0:0", "wait", None, for_ms=HOUR, idempotency_key="k"))["pending"]
    await worker.park(first, "0:0")
    await kit.advance("59m")
    assert (await worker.op(second, "0:0", "wait", None, for_ms=HOUR, idempotency_key="k"))["pending"]
    assert (await worker.op(other, "0:0", "wait", None, for_ms=HOUR, idempotency_key="k2"))["pending"]
    await worker.park(second, "0:0")
    await worker.park(other, "0:0")
    await kit.advance("1m")
    await worker.next("resume", first)
    await worker.next("resume", second)
    assert worker.heard("resume") == []
    over = await worker.op(first, "0:1", "wait", None, until=START + DAY, idempotency_key="k")
    assert "pending" not in over


async def test_a_waits_key_ends_after_its_time(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    wait = {"for_ms": HOUR, "idempotency_key": "k", "idempotency_ttl_ms": 2 * HOUR}
    assert (await worker.op(run, "0:0", "wait", None, **wait))["pending"]
    kit.clock.advance(2 * HOUR - 1)
    assert "pending" not in await worker.op(run, "0:1", "wait", None, **wait)
    kit.clock.advance(1)
    assert (await worker.op(run, "0:2", "wait", None, **wait))["pending"]


@pytest.mark.parametrize("kind", ["wait", "create_token", "batch_trigger"])
async def test_an_operations_key_that_is_none_is_refused(kit: EngineKit, worker: Worker, kind: str) -> None:
    run = await kit.start()
    args = {"for_ms": 1, "items": [{"task": "child"}]}
    for number, key in enumerate(("", "x" * 2049, [])):
        reply = await worker.op(run, f"0:{number}", kind, None, **args, idempotency_key=key)
        assert (reply["error_kind"], "idempotency_key" in reply["error"]) == ("InvalidOptionError", True)
