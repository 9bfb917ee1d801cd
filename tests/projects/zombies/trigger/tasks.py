"""Each write carries a mark that no other has, and is noted in the ledger just before it is tried.

Tasks take a while from wherever they begin, so one that goes on elsewhere is in the middle of it when the
first continues. Sleeps are not recorded: a stopped copy finds that its sleep is over.
"""

import asyncio
import os
import time
from typing import Any

from tests.reliability.ledger import end, note, place
from triggerdev import Context, Retry, errors, metadata, tags, task, wait

ROUNDS, PAUSE = 40, 0.05
TAGS, TAG_PAUSE = 4, 0.5
SECONDS = 1.2
AT_ONCE = Retry(max_attempts=40, factor=1, min_timeout_in_ms=1, max_timeout_in_ms=1)


def marked(ctx: Context, what: str) -> str:
    mark = os.urandom(8).hex()
    note(ctx, what, mark)
    return mark


@task(id="child")
async def child(payload: dict[str, Any], ctx: Context) -> None:
    note(ctx, "begin")


async def print_lines(ctx: Context) -> None:
    for _ in range(ROUNDS):
        print(marked(ctx, "line"))
        await asyncio.sleep(PAUSE)


async def trigger_children(ctx: Context) -> None:
    for number in range(ROUNDS // 2):
        await child.trigger({"key": place(ctx, str(number)), "mark": marked(ctx, "child")})
        await asyncio.sleep(2 * PAUSE)


async def change_metadata(ctx: Context) -> None:
    for number in range(ROUNDS // 2):
        metadata.set(f"m{number}", marked(ctx, "metadata"))
        await metadata.flush()
        await asyncio.sleep(2 * PAUSE)


async def add_tags(ctx: Context) -> None:
    for _ in range(TAGS):
        await tags.add(marked(ctx, "tag"))
        await asyncio.sleep(TAG_PAUSE)


@task(id="writes")
async def writes(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    try:
        await asyncio.gather(print_lines(ctx), trigger_children(ctx), change_metadata(ctx), add_tags(ctx))
    except errors.RunEvicted:
        note(ctx, "evicted")
        raise
    return end(ctx, 0)


@task(id="writes-sync")
def writes_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    try:
        for number in range(ROUNDS // 2):
            print(marked(ctx, "line"))
            child.sync.trigger({"key": place(ctx, str(number)), "mark": marked(ctx, "child")})
            metadata.set(f"m{number}", marked(ctx, "metadata"))
            time.sleep(2 * PAUSE)
    except errors.RunEvicted:
        note(ctx, "evicted")
        raise
    return end(ctx, 0)


@task(id="ends", retry=AT_ONCE)
async def ends(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Have nothing left but its end."""
    note(ctx, "begin")
    await asyncio.sleep(SECONDS)
    return end(ctx, 0)


@task(id="ends-sync")
def ends_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    time.sleep(SECONDS)
    return end(ctx, 0)


@task(id="steps")
async def steps(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Be in the middle of a step, whose result is a mark."""
    note(ctx, "begin")

    async def slow() -> str:
        await asyncio.sleep(SECONDS)
        return marked(ctx, "step")

    return end(ctx, await ctx.step("slow", slow))


@task(id="waits")
async def waits(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Be parked, and trigger a child afterwards."""
    note(ctx, "begin")
    await wait.for_(seconds=SECONDS)
    await child.trigger({"key": place(ctx, "0"), "mark": marked(ctx, "child")})
    return end(ctx, 0)


@task(id="asks")
async def asks(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Wait for a child that is executing."""
    note(ctx, "begin")
    await ends.trigger_and_wait({"key": place(ctx, "0")}).unwrap()
    return end(ctx, 0)


@task(id="asks-sync")
def asks_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    ends_sync.sync.trigger_and_wait({"key": place(ctx, "0")}).unwrap()
    return end(ctx, 0)
