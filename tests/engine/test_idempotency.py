"""Idempotency keys: one run for each, however often and by whomever it is triggered."""

import asyncio

import pytest

from tests.engine.kit import DAY, EngineKit, Worker, crash, item
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
