"""Tasks with hooks, metadata, tags, idempotency keys, or much to compute."""

import hashlib
from typing import Any

from storm_support import below, child, outcome
from trigger.leaves import LONG, leaf, telling

from tests.reliability.ledger import end, note
from triggerdev import Context, idempotency_keys, metadata, tags, task


async def around(payload: dict[str, Any], ctx: Context, next: Any) -> None:
    note(ctx, "before")
    await next()
    note(ctx, "after")


def started(payload: dict[str, Any], ctx: Context) -> None:
    note(ctx, "started")


async def succeeded(payload: dict[str, Any], output: dict[str, Any], ctx: Context) -> None:
    note(ctx, "succeeded", output["end"])


@task(id="hooked", retry=LONG, middleware=around, on_start=started, on_success=succeeded)
async def hooked(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    value = outcome(ctx, await leaf.trigger_and_wait(child(payload, ctx, 0)))
    return end(ctx, value)


@task(id="hooked-sync", retry=LONG, middleware=around, on_start=started, on_success=succeeded)
def hooked_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    value = outcome(ctx, leaf.sync.trigger_and_wait(child(payload, ctx, 0)))
    return end(ctx, value)


@task(id="writes", retry=LONG)
async def writes(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Count what this attempt does in the run's metadata: each change may act once."""
    note(ctx, "begin")
    count = f"attempt-{ctx.attempt.number}"
    metadata.increment(count, 1)
    await tags.add(f"tag-{payload['n']}")
    outcome(ctx, await telling.trigger_and_wait(child(payload, ctx, 0)))
    metadata.increment(count, 1)
    outcome(ctx, await telling.trigger_and_wait(child(payload, ctx, 1)))
    metadata.increment(count, 1)
    return end(ctx, payload["n"])


@task(id="keys", retry=LONG)
async def keys(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Trigger twice with one key: the second gives the first run."""
    note(ctx, "begin")
    key = await idempotency_keys.create("child")
    first = await leaf.trigger(below(payload, ctx, 0), idempotency_key=key)
    second = await leaf.trigger(below(payload, ctx, 0), idempotency_key=key)
    return end(ctx, first.id == second.id)


@task(id="computes", retry=LONG)
def computes(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    digest = hashlib.pbkdf2_hmac("sha256", str(payload["n"]).encode(), b"salt", 20_000)
    return end(ctx, digest.hex()[:16])
