"""Tasks that others trigger."""

import asyncio
import hashlib
from typing import Any

from tests.reliability.ledger import end, note
from triggerdev import Context, Retry, metadata, task, wait

LONG = Retry(max_attempts=40, factor=1, min_timeout_in_ms=10, max_timeout_in_ms=20)


@task(id="leaf", retry=LONG)
async def leaf(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    await asyncio.sleep(0.005)
    return end(ctx, 2 * payload["n"])


@task(id="leaf-sync", retry=LONG)
def leaf_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    hashlib.pbkdf2_hmac("sha256", b"storm", b"salt", 5_000)
    return end(ctx, 2 * payload["n"])


@task(id="telling", retry=LONG)
async def telling(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    metadata.parent.increment("told", 1)
    return end(ctx, payload["n"])


@task(id="completing", retry=LONG)
async def completing(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    await wait.complete_token(payload["token"], payload["n"])
    return end(ctx, payload["n"])


@task(id="completing-sync", retry=LONG)
def completing_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    wait.sync.complete_token(payload["token"], payload["n"])
    return end(ctx, payload["n"])
