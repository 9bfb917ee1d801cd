"""Debouncing: triggers with one key become one run, which starts when none has come for a while."""

import asyncio
from typing import Any

import pytest

from tests.engine.kit import MINUTE, SECOND, START, EngineKit, Worker, item
from triggerdev import errors
from triggerdev.engine.model import Status

FIVE = {"key": "user-1", "delay": "5s"}
LAST = {**FIVE, "mode": "trailing"}


async def test_a_burst_is_one_run_that_starts_when_it_is_over(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", {"n": 1}, debounce=FIVE)
    for n in range(2, 5):
        await kit.advance("4s")
        assert await kit.trigger("job", {"n": n}, debounce=FIVE) == run
    assert await kit.status(run) is Status.DELAYED
    assert (await kit.run(run)).delayed_until == START + 17 * SECOND
    await kit.advance("5s")
    assert (await worker.started(run))["payload"] == '{"n":1}'
    assert kit.query("SELECT count(*) FROM runs") == [(1,)]


async def test_the_last_payload_counts_where_it_is_asked_for(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", {"n": 1}, debounce=LAST, tags=["a"], metadata={"by": "first"})
    last = {"tags": ["b"], "metadata": {"by": "last"}, "machine": "micro", "maxAttempts": 7, "maxDuration": 9}
    assert await kit.trigger("job", {"n": 2}, debounce=LAST, **last) == run
    found = await kit.run(run)
    assert (found.payload, found.tags, found.metadata) == ('{"n":2}', ["b"], {"by": "last"})
    assert (found.machine, found.max_attempts, found.max_duration_ms) == ("micro", 7, 9 * SECOND)
    await kit.trigger("job", {"n": 3}, debounce=LAST)
    found = await kit.run(run)
    assert (found.payload, found.tags, found.machine) == ('{"n":3}', ["b"], "micro")


async def test_a_run_that_has_started_is_left_alone(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, debounce=FIVE)
    await kit.advance("5s")
    await worker.started(run)
    assert await kit.trigger("job", None, debounce=FIVE) != run


async def test_a_run_that_is_due_is_not_put_off(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, debounce=FIVE)
    kit.clock.advance(5 * SECOND)
    assert await kit.trigger("job", None, debounce=FIVE) != run


async def test_a_cancelled_run_is_not_put_off(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, debounce=FIVE)
    await kit.engine.cancel_run(run)
    assert await kit.trigger("job", None, debounce=FIVE) != run


async def test_a_run_is_put_off_no_longer_than_its_limit(kit: EngineKit) -> None:
    limited = {**FIVE, "maxDelay": "10s"}
    run = await kit.trigger("job", None, debounce=limited)
    await kit.advance("4s")
    assert await kit.trigger("job", None, debounce=limited) == run
    await kit.advance("2s")
    other = await kit.trigger("job", None, debounce=limited)
    assert other != run
    assert (await kit.run(run)).delayed_until == START + 9 * SECOND
    assert await kit.trigger("job", None, debounce=limited) == other


async def test_a_shorter_delay_does_not_bring_the_run_forward(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, debounce={"key": "k", "delay": "1m"})
    assert await kit.trigger("job", None, debounce={"key": "k", "delay": "1s"}) == run
    assert (await kit.run(run)).delayed_until == START + MINUTE


async def test_keys_belong_to_their_task(kit: EngineKit) -> None:
    first = await kit.trigger("job", None, debounce=FIVE)
    assert await kit.trigger("child", None, debounce=FIVE) != first
    assert await kit.trigger("job", None, debounce={"key": "user-2", "delay": "5s"}) != first


async def test_a_key_survives_a_restart(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, debounce=FIVE)
    await kit.restart(down_ms=SECOND)
    assert await kit.trigger("job", None, debounce=FIVE) == run


async def test_an_idempotency_key_comes_first(kit: EngineKit) -> None:
    run = await kit.trigger("job", None, idempotencyKey="k")
    assert await kit.trigger("job", None, idempotencyKey="k", debounce=FIVE) == run
    delayed = await kit.trigger("job", None, debounce=FIVE)
    assert await kit.trigger("job", None, idempotencyKey="other", debounce=FIVE) == delayed
    await kit.advance("5s")
    assert await kit.trigger("job", None, idempotencyKey="other", debounce=FIVE) == delayed


async def test_concurrent_callers_get_one_run(kit: EngineKit) -> None:
    calls = [item("job", {"n": n}, debounce=LAST) for n in range(100)]
    results = await asyncio.gather(*(kit.engine.trigger(call) for call in calls))
    assert len({result.id for result in results}) == 1
    assert sum(result.is_new for result in results) == 1
    assert (await kit.run(results[0].id)).payload == '{"n":99}'


async def test_items_of_one_batch_share_a_run_and_the_batch_counts_each(
    kit: EngineKit, worker: Worker
) -> None:
    batch = await kit.engine.create_batch(run_count=3)
    items = [item("job", n, index=n, debounce=LAST) for n in range(3)]
    await kit.engine.add_batch_items(batch.id, items)
    runs = (await kit.batch(batch.id)).runs
    assert len(set(runs)) == 1
    await kit.advance("5s")
    assert (await worker.started(runs[0]))["payload"] == "2"
    assert (await kit.batch(batch.id)).status == "PROCESSING"
    await worker.ok(runs[0])
    assert (await kit.batch(batch.id)).status == "COMPLETED"


async def test_two_parents_wait_for_one_run(kit: EngineKit, worker: Worker) -> None:
    parents = [await kit.start(), await kit.start()]
    for parent in parents:
        await worker.op(parent, "0:0", "trigger_and_wait", "child", payload="1", options={"debounce": FIVE})
        await worker.park(parent, "0:0")
    await kit.advance("5s")
    child = (await worker.started())["id"]
    await worker.ok(child, "done")
    resumed = {(await worker.next("resume"))["run"] for _ in parents}
    assert resumed == set(parents)


@pytest.mark.parametrize(
    ("debounce", "message"),
    [
        ("k", "debounce: an object"),
        ({"delay": "5s"}, "debounce.key"),
        ({"key": "x" * 513, "delay": "5s"}, "debounce.key"),
        ({"key": "k"}, "debounce.delay"),
        ({"key": "k", "delay": "0s"}, "debounce.delay"),
        ({"key": "k", "delay": 5}, "debounce.delay"),
        ({"key": "k", "delay": "5s", "mode": "last"}, "debounce.mode"),
        ({"key": "k", "delay": "5s", "maxDelay": "soon"}, "debounce.maxDelay"),
        (
            {"key": "k", "delay": "5s", "maxDelay": "5s"},
            r"maxDelay \(5s\) must be longer than .*delay \(5s\)",
        ),
    ],
)
async def test_a_debounce_that_cannot_be_read_is_refused(kit: EngineKit, debounce: Any, message: str) -> None:
    with pytest.raises(errors.InvalidOptionError, match=message):
        await kit.trigger("job", None, debounce=debounce)
