"""Waiting for changes: what comes at the same moment is not lost."""

import asyncio

import pytest

from triggerdev.engine.watch import Watch


async def test_a_change_ends_a_wait_and_nothing_is_left() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.wait("run", watch.arm("run"), 60))
    await asyncio.sleep(0)
    watch.notify(["other"])
    watch.notify(["run"])
    assert await waiting is True
    assert watch._waiting == {}


async def test_the_time_ends_a_wait_too() -> None:
    watch = Watch()
    assert await watch.wait("run", watch.arm("run"), 0) is False
    assert watch._waiting == {}


async def test_a_cancel_that_comes_with_the_change_cancels() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.wait("run", watch.arm("run"), 60))
    await asyncio.sleep(0)
    watch.notify(["run"])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
