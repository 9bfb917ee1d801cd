"""Tasks in queues with limits, shared by async and plain functions. `enter` and `leave` enclose a slot."""

import asyncio
import time
from typing import Any

from trigger.leaves import LONG

from tests.reliability.ledger import end, note
from triggerdev import Context, queue, task, wait

ONE = queue(name="one", concurrency_limit=1)
TWO = queue(name="two", concurrency_limit=2)
FIVE = queue(name="five", concurrency_limit=5)


async def work(payload: dict[str, Any], ctx: Context, seconds: float) -> dict[str, Any]:
    note(ctx, "enter")
    await asyncio.sleep(seconds)
    note(ctx, "leave")
    return end(ctx, payload["n"])


def work_sync(payload: dict[str, Any], ctx: Context, seconds: float) -> dict[str, Any]:
    note(ctx, "enter")
    time.sleep(seconds)
    note(ctx, "leave")
    return end(ctx, payload["n"])


@task(id="limited-one", retry=LONG, queue=ONE)
async def limited_one(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    return await work(payload, ctx, 0.01)


@task(id="limited-one-sync", retry=LONG, queue=ONE)
def limited_one_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    return work_sync(payload, ctx, 0.01)


@task(id="limited-two", retry=LONG, queue=TWO)
async def limited_two(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    return await work(payload, ctx, 0.03)


@task(id="limited-two-sync", retry=LONG, queue=TWO)
def limited_two_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    return work_sync(payload, ctx, 0.03)


@task(id="limited-five", retry=LONG, queue=FIVE)
async def limited_five(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Hold a slot twice, with a wait between that holds none."""
    await work_twice(payload, ctx)
    return end(ctx, payload["n"])


async def work_twice(payload: dict[str, Any], ctx: Context) -> None:
    note(ctx, "enter")
    await asyncio.sleep(0.05)
    note(ctx, "leave")
    note(ctx, "wait", "0:50")
    await wait.for_(seconds=0.05)
    note(ctx, "woken", "0:50")
    note(ctx, "enter")
    await asyncio.sleep(0.05)
    note(ctx, "leave")
