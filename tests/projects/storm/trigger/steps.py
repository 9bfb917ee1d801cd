"""Tasks with steps. Each step gives a result that no other execution of it would give."""

import asyncio
import os
from typing import Any

from storm_support import child, outcome
from trigger.leaves import LONG, leaf

from tests.reliability.ledger import end, note
from triggerdev import Context, task, wait


def chance() -> str:
    return os.urandom(8).hex()


async def slow_chance() -> str:
    await asyncio.sleep(0.01)
    return chance()


@task(id="steps", retry=LONG)
async def steps(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Do steps one after the other and side by side, around a wait and a child."""
    note(ctx, "begin")
    note(ctx, "step", f"first:{await ctx.step('first', chance)}")
    note(ctx, "wait", "0:50")
    await wait.for_(seconds=0.05)
    note(ctx, "woken", "0:50")

    async def inner() -> str:
        outcome(ctx, await leaf.trigger_and_wait(child(payload, ctx, 0)))
        return chance()

    two, three = await asyncio.gather(ctx.step("second", slow_chance), ctx.step("third", inner))
    note(ctx, "step", f"second:{two}")
    note(ctx, "step", f"third:{three}")
    return end(ctx, payload["n"])


@task(id="steps-sync", retry=LONG)
def steps_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    note(ctx, "step", f"first:{ctx.step.sync('first', chance)}")
    outcome(ctx, leaf.sync.trigger_and_wait(child(payload, ctx, 0)))
    note(ctx, "step", f"second:{ctx.step.sync('second', chance)}")
    return end(ctx, payload["n"])
