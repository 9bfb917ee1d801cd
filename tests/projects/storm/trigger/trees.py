"""Tasks with children. A child's payload names the place in its parent's attempt that it comes from."""

import asyncio
from typing import Any

from storm_support import below, child, children, outcome
from trigger.leaves import LONG, leaf, leaf_sync

from tests.reliability.ledger import end, note
from triggerdev import Context, idempotency_keys, task, wait


@task(id="triggers", retry=LONG)
async def triggers(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    for position in range(2):
        await leaf.trigger(child(payload, ctx, position))
    return end(ctx, payload["n"])


@task(id="triggers-sync", retry=LONG)
def triggers_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    for position in range(2):
        leaf_sync.sync.trigger(child(payload, ctx, position))
    return end(ctx, payload["n"])


@task(id="middle", retry=LONG)
async def middle(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    value = outcome(ctx, await leaf_sync.trigger_and_wait(child(payload, ctx, 0)))
    return end(ctx, value + 1)


@task(id="nested", retry=LONG)
async def nested(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    value = outcome(ctx, await middle.trigger_and_wait(child(payload, ctx, 0)))
    return end(ctx, value + 1)


@task(id="nested-sync", retry=LONG)
def nested_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    value = outcome(ctx, middle.sync.trigger_and_wait(child(payload, ctx, 0)))
    return end(ctx, value + 1)


@task(id="batches", retry=LONG)
async def batches(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    await leaf.batch_trigger(children(payload, ctx, range(2)))
    made = await leaf.batch_trigger_and_wait(children(payload, ctx, range(2, 5)))
    return end(ctx, [outcome(ctx, each) for each in made])


@task(id="batches-sync", retry=LONG)
def batches_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    leaf.sync.batch_trigger(children(payload, ctx, range(2)))
    made = leaf_sync.sync.batch_trigger_and_wait(children(payload, ctx, range(2, 4)))
    return end(ctx, [outcome(ctx, each) for each in made])


@task(id="gathers", retry=LONG)
async def gathers(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")

    async def two_in_turn() -> list[Any]:
        first = await leaf_sync.trigger_and_wait(child(payload, ctx, 1))
        note(ctx, "wait", "g:60")
        await wait.for_(seconds=0.06)
        note(ctx, "woken", "g:60")
        return [first, await leaf.trigger_and_wait(child(payload, ctx, 2))]

    one, pair, four = await asyncio.gather(
        leaf.trigger_and_wait(child(payload, ctx, 0)),
        two_in_turn(),
        leaf.trigger_and_wait(child(payload, ctx, 3)),
    )
    return end(ctx, [outcome(ctx, each) for each in (one, *pair, four)])


@task(id="retried", retry=LONG)
async def retried(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Fail so often as the payload says; each attempt triggers a child, and one that is the same for all."""
    note(ctx, "begin")
    await leaf.trigger(child(payload, ctx, 0))
    await leaf.trigger(below(payload, ctx, 1), idempotency_key=await idempotency_keys.create("once"))
    if ctx.attempt.number <= payload["fails"]:
        note(ctx, "fail")
        raise ValueError("again")
    return end(ctx, payload["n"])


@task(id="retried-sync", retry=LONG)
def retried_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    leaf.sync.trigger(child(payload, ctx, 0))
    leaf.sync.trigger(below(payload, ctx, 1), idempotency_key=idempotency_keys.sync.create("once"))
    if ctx.attempt.number <= payload["fails"]:
        note(ctx, "fail")
        raise ValueError("again")
    return end(ctx, payload["n"])
