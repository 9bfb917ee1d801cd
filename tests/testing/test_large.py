"""Payloads and outputs of megabytes: code notices nothing, inside of runs and outside, up to the limit."""

import asyncio
from typing import Any

import pytest

from triggerdev import PayloadError, Retry, batch, runs, task, tasks, testing, wait
from triggerdev.protocol import INLINE_BYTES, MAX_STORED_BYTES
from triggerdev.testing.virtual import VirtualEngine

BIG = "ü" * INLINE_BYTES
MOST = "x" * (MAX_STORED_BYTES - 2)  # with its quotes


@task(id="echo")
async def echo(payload: Any) -> Any:
    return payload


@task(id="echo-sync")
def echo_sync(payload: Any) -> Any:
    return echo.sync.trigger_and_wait(payload).unwrap()


@task(id="parent")
async def parent(payload: int) -> list[int]:
    one, both = await asyncio.gather(
        echo.trigger_and_wait(BIG).unwrap(),
        echo.batch_trigger_and_wait([{"payload": BIG + str(n)} for n in range(2)]),
    )
    await wait.for_(hours=1)
    token = await wait.create_token()
    await wait.complete_token(token, BIG)
    approved = (await wait.for_token(token)).unwrap()
    return [len(each) for each in (one, *(run.output for run in both), approved)]


@task(id="too-much", retry=Retry(max_attempts=3))
async def too_much(payload: int) -> str:
    return "x" * (MAX_STORED_BYTES + payload)


def is_stored(made: VirtualEngine) -> int:
    return len(made._objects.bodies)


@pytest.mark.parametrize("replay", [False, True])
async def test_inside_of_runs(replay: bool) -> None:
    async with testing.engine([echo, echo_sync, parent], replay=replay) as engine:
        run = await engine.run(parent, 1)
        assert run.unwrap() == [len(BIG), len(BIG) + 1, len(BIG) + 1, len(BIG)]
        assert (await engine.run(echo_sync, BIG)).unwrap() == BIG
        assert is_stored(engine) > 5


async def test_outside_of_runs() -> None:
    async with testing.engine([echo]) as engine:
        handle = await echo.trigger(MOST)
        assert (await runs.poll(handle)).output == MOST
        assert (await runs.retrieve(handle)).payload == MOST
        assert [run.output async for run in runs.subscribe_to_run(handle)] == [MOST]
        made = await batch.trigger([{"id": "echo", "payload": BIG + str(n)} for n in range(2)])
        await engine.idle()
        followed = [run.output async for run in runs.subscribe_to_batch(made)]
        assert sorted(followed) == [BIG + "0", BIG + "1"]
        ids = (await batch.retrieve(made)).runs
        assert [(await runs.retrieve(run)).output for run in ids] == [BIG + "0", BIG + "1"]
        together = await asyncio.gather(*(tasks.trigger("echo", BIG + str(n)) for n in range(3)))
        assert [(await runs.poll(run)).output for run in together] == [BIG + str(n) for n in range(3)]
        token = await wait.create_token("approval")
        await wait.complete_token(token, BIG)
        assert (await wait.retrieve_token("approval")).output == BIG


async def test_outside_of_runs_without_a_loop() -> None:
    async with testing.engine([echo]):

        def blocking() -> Any:
            handle = tasks.sync.trigger("echo", BIG)
            return runs.sync.poll(handle).output

        assert await asyncio.to_thread(blocking) == BIG


async def test_a_payload_over_the_limit_names_both_sizes() -> None:
    async with testing.engine([echo]):
        with pytest.raises(PayloadError, match=r"payload is 10,485,761 bytes .* at most 10,485,760"):
            await echo.trigger(MOST + "x")
        with pytest.raises(PayloadError, match=r"items\[1\]: The payload is 10,485,761 bytes"):
            await batch.trigger([{"id": "echo"}, {"id": "echo", "payload": MOST + "x"}])
        with pytest.raises(PayloadError, match="data is 10,485,761 bytes"):
            await wait.complete_token("approval", MOST + "x")


async def test_an_output_over_the_limit_fails_the_run_without_a_retry() -> None:
    async with testing.engine([too_much]) as engine:
        run = await engine.run(too_much, -1)
        assert (run.status, run.attempts) == ("FAILED", 1)
        assert "output: 10,485,761 bytes as JSON; at most 10,485,760" in str(run.error)
        assert (await engine.run(too_much, -2)).ok
