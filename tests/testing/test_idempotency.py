"""Idempotency keys inside of runs: triggers, waits, tokens, batches, freeing; also when all is replayed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from triggerdev import Context, NotFoundError, batch, idempotency_keys, task, testing, wait

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
replayed_too = pytest.mark.parametrize("replay", [False, True])


@task(id="pay")
async def pay(payload: Any = None) -> Any:
    if payload == "bad":
        raise ValueError("declined")
    return payload


@replayed_too
async def test_a_raw_key_is_the_runs_own_and_a_global_one_is_everybodys(replay: bool) -> None:
    @task(id="buy")
    async def buy(payload: int) -> list[Any]:
        shared = await idempotency_keys.create("shared", scope="global")
        own = [await pay.trigger(n, idempotency_key=["order", "1"]) for n in range(2)]
        common = await pay.trigger(payload, idempotency_key=shared)
        return [own[0].id == own[1].id, own[1].is_cached, own[0].id, common.id]

    async with testing.engine([buy, pay], replay=replay) as engine:
        first, second = [(await engine.run(buy, n)).output for n in range(2)]
        assert first[:2] == second[:2] == [True, True]
        assert first[2] != second[2]
        assert first[3] == second[3]
        engine.assert_triggered(pay, times=3)


async def test_a_retry_finds_what_the_first_attempt_has_triggered() -> None:
    seen: dict[str, list[Any]] = {"run": [], "attempt": []}

    @task(id="buy", retry={"max_attempts": 2})
    async def buy(ctx: Context) -> None:
        for scope in ("run", "attempt"):
            key = await idempotency_keys.create("pay", scope=scope)
            handle = await pay.trigger(scope, idempotency_key=key)
            seen[scope].append((handle.id, handle.is_cached))
        if ctx.attempt.number == 1:
            raise RuntimeError("crashed after charging")

    async with testing.engine([buy, pay]) as engine:
        assert (await engine.run(buy)).attempts == 2
    (first, _), (again, is_cached) = seen["run"]
    assert (first, is_cached) == (again, True)
    assert seen["attempt"][0][0] != seen["attempt"][1][0]


@replayed_too
async def test_a_parent_waits_for_the_run_that_a_key_finds(replay: bool) -> None:
    @task(id="slow")
    async def slow(payload: int) -> int:
        await wait.for_(hours=1)
        return payload

    @task(id="parent")
    async def parent(payload: int, ctx: Context) -> Any:
        key = await idempotency_keys.create("one", scope="global")
        result = await slow.trigger_and_wait(payload, idempotency_key=key)
        return {"output": result.output, "child": result.id}

    async with testing.engine([parent, slow], now=NEW_YEAR, replay=replay) as engine:
        handles = [await engine.trigger(parent, n) for n in range(3)]
        await engine.advance(minutes=30)
        handles.append(await engine.trigger(parent, 3))
        ends = [await engine.wait(handle) for handle in handles]
        assert {end.output["output"] for end in ends} == {0}
        assert len({end.output["child"] for end in ends}) == 1
        late = await engine.run(parent, 4)  # the child has ended: this is over at once
        assert (late.output["output"], late.waited) == (0, timedelta(0))
        engine.assert_triggered(slow, times=1)


async def test_a_failed_run_gives_its_key_to_the_next_one() -> None:
    @task(id="parent")
    async def parent(payload: Any) -> bool:
        key = await idempotency_keys.create("one", scope="global")
        return (await pay.trigger_and_wait(payload, idempotency_key=key, max_attempts=1)).ok

    async with testing.engine([parent, pay]) as engine:
        assert [(await engine.run(parent, p)).output for p in ("bad", "good", "bad")] == [False, True, True]


@replayed_too
async def test_a_freed_key_makes_a_new_run_and_a_replay_frees_nothing_again(replay: bool) -> None:
    @task(id="parent")
    async def parent() -> list[str]:
        key = await idempotency_keys.create("one")
        ids = [(await pay.trigger(1, idempotency_key=key)).id]
        await idempotency_keys.reset(pay, key)
        ids.append((await pay.trigger(2, idempotency_key=key)).id)
        await wait.for_(hours=1)
        ids.append((await pay.trigger(3, idempotency_key="one")).id)
        await idempotency_keys.reset("pay", "one")
        with pytest.raises(NotFoundError, match="no run with the idempotency key"):
            await idempotency_keys.reset(pay, "one")
        ids.append((await pay.trigger(4, idempotency_key=["one"])).id)
        return ids

    async with testing.engine([parent, pay], replay=replay) as engine:
        first, second, third, fourth = (await engine.run(parent)).output
        assert second == third
        assert len({first, second, fourth}) == 3
        engine.assert_triggered(pay, times=3)


async def test_a_key_of_another_run_is_freed_from_outside() -> None:
    @task(id="parent", retry={"max_attempts": 1})
    async def parent() -> None:
        await pay.trigger(1, idempotency_key="one")
        await pay.trigger(2, idempotency_key=await idempotency_keys.create("two", scope="attempt"))

    async with testing.engine([parent, pay]) as engine:
        run = await engine.run(parent)
        with pytest.raises(NotFoundError):
            await idempotency_keys.reset(pay, "one")
        await idempotency_keys.reset(pay, "one", parent_run_id=run.id)
        with pytest.raises(NotFoundError):
            await idempotency_keys.reset(pay, "one", parent_run_id=run.id)
        await idempotency_keys.reset(pay, "two", scope="attempt", parent_run_id=run.id, attempt_number=1)
        first = await pay.trigger(1, idempotency_key="outside")
        await idempotency_keys.reset(pay, "outside")
        assert (await pay.trigger(1, idempotency_key="outside")).id != first.id


@replayed_too
async def test_a_second_wait_with_a_key_ends_with_the_first(replay: bool) -> None:
    @task(id="patient")
    async def patient(payload: str) -> None:
        await wait.for_(hours=2, idempotency_key=payload, idempotency_key_ttl="1d")
        await wait.until(NEW_YEAR + timedelta(days=9), idempotency_key=f"{payload}-until")

    async with testing.engine([patient], now=NEW_YEAR, replay=replay) as engine:
        first = await engine.trigger(patient, "a")
        await engine.advance(hours=1)
        second = await engine.run(patient, "a")
        assert second.waited == timedelta(days=9) - timedelta(hours=1)
        assert (await engine.wait(first)).waited == timedelta(days=9)
        assert (await engine.run(patient, "b")).waited == timedelta(hours=2)
        third = await engine.run(patient, "a")  # the key of the first wait is over, that of the second is not
        assert third.waited == timedelta(hours=2)


@replayed_too
async def test_plain_functions_do_the_same(replay: bool) -> None:
    @task(id="plain")
    def plain() -> list[Any]:
        key = idempotency_keys.sync.create("one")
        first = pay.sync.trigger_and_wait(1, idempotency_key=key)
        second = pay.sync.trigger_and_wait(2, idempotency_key=key)
        wait.sync.for_(hours=1, idempotency_key="k")
        wait.sync.for_(hours=1, idempotency_key="k")
        idempotency_keys.sync.reset(pay, key)
        third = pay.sync.trigger_and_wait(3, idempotency_key="one")
        return [first.output, second.output, third.output]

    async with testing.engine([plain, pay], replay=replay) as engine:
        run = await engine.run(plain)
        assert (run.output, run.waited) == ([1, 1, 3], timedelta(hours=1))


@replayed_too
async def test_batches_have_a_key_as_a_whole_and_for_each_item(replay: bool) -> None:
    @task(id="parent")
    async def parent() -> list[Any]:
        items = [{"payload": n, "options": {"idempotency_key": f"item-{n % 2}"}} for n in range(3)]
        waited = await pay.batch_trigger_and_wait(items)
        made = [await pay.batch_trigger([{"payload": n}], idempotency_key="whole") for n in (7, 8)]
        mixed = await batch.trigger_and_wait([{"id": "pay", "payload": 9}], idempotency_key=["whole", "2"])
        again = await batch.trigger_and_wait([{"id": "pay", "payload": 10}], idempotency_key="whole-2")
        return [
            [run.output for run in waited],
            made[0].batch_id == made[1].batch_id and made[1].is_cached,
            [result.output for each in (mixed, again) for result in each],
        ]

    async with testing.engine([parent, pay], replay=replay) as engine:
        assert (await engine.run(parent)).output == [[0, 1, 0], True, [9, 9]]
        await engine.idle()
        engine.assert_triggered(pay, times=4)


async def test_a_batch_over_http_sends_its_keys_lifetime() -> None:
    async with testing.engine([pay], now=NEW_YEAR) as engine:
        calls = {"idempotency_key": "whole", "idempotency_key_ttl": "1h"}
        first = await pay.batch_trigger([{"payload": 1}], **calls)
        assert (await pay.batch_trigger([{"payload": 2}], **calls)).batch_id == first.batch_id
        await engine.advance(hours=1)
        assert (await pay.batch_trigger([{"payload": 3}], **calls)).batch_id != first.batch_id


@replayed_too
async def test_a_run_knows_its_key(replay: bool) -> None:
    @task(id="told")
    async def told(ctx: Context) -> list[Any]:
        await wait.for_(seconds=10)
        return [ctx.run.idempotency_key, ctx.run.idempotency_key_scope]

    @task(id="parent")
    async def parent() -> list[Any]:
        key = await idempotency_keys.create(["a", "b"], scope="attempt")
        results = await asyncio.gather(
            told.trigger_and_wait(idempotency_key=key),
            told.trigger_and_wait(idempotency_key="raw"),
            told.trigger_and_wait(),
        )
        return [result.unwrap() for result in results]

    async with testing.engine([parent, told], replay=replay) as engine:
        assert (await engine.run(parent)).output == [["a-b", "attempt"], ["raw", "run"], [None, None]]


async def test_tokens_are_found_by_their_key() -> None:
    @task(id="asking")
    async def asking() -> list[Any]:
        key = await idempotency_keys.create("approval", scope="global")
        token = await wait.create_token(idempotency_key=key, idempotency_key_ttl="1h", timeout="2h")
        again = await wait.create_token(idempotency_key=key)
        return [token.id, again.id, again.is_cached]

    async with testing.engine([asking], now=NEW_YEAR) as engine:
        first, again, is_cached = (await engine.run(asking)).output
        assert (first, is_cached) == (again, True)
        outside = await wait.create_token(idempotency_key=await idempotency_keys.create("approval"))
        assert (outside.id, outside.is_cached) == (first, True)
        await engine.advance(hours=1)
        assert (await engine.run(asking)).output[0] != first
