"""Ten children and three waits in one `asyncio.gather`: the same result wherever the run is lost."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from triggerdev import task, testing, wait

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
OPERATIONS = 13


@task(id="gathered-child")
async def child(payload: int) -> int:
    await wait.for_(minutes=payload % 4)
    return payload * 10


@task(id="gathering")
async def gathering() -> list[Any]:
    everything: list[Any] = await asyncio.gather(
        *(child.trigger_and_wait(n) for n in range(10)),
        wait.for_(minutes=2),
        wait.until(NEW_YEAR + timedelta(minutes=3)),
        wait.for_token("approval", timeout="10m"),
    )
    *results, first, second, approval = everything
    return [[result.unwrap() for result in results], first, second, approval.ok]


@pytest.mark.parametrize("lost_after", range(OPERATIONS + 1))
async def test_it_ends_as_if_it_had_not_been_lost(lost_after: int) -> None:
    def is_lost(run: str, count: int) -> bool:
        return count == lost_after

    async with testing.engine([gathering, child], now=NEW_YEAR, interrupt=is_lost) as engine:
        handle = await engine.trigger(gathering)
        await engine.idle()
        await engine.complete_token("approval", "yes")
        run = await engine.wait(handle)
        assert run.output == [[n * 10 for n in range(10)], None, None, True]
        assert (run.attempts, run.waited) == (1, timedelta(minutes=3))
        engine.assert_triggered(child, times=10)


async def test_it_ends_the_same_when_each_wait_is_replayed() -> None:
    async with testing.engine([gathering, child], now=NEW_YEAR, replay=True) as engine:
        run = await engine.run(gathering)
        assert run.output == [[n * 10 for n in range(10)], None, None, False]
        engine.assert_triggered(child, times=10)
