"""Tasks that write what they do to a ledger: one line each, appended in a single write."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from triggerdev import Context, task, wait

LEDGER = os.environ["LEDGER"]
RELEASE = Path(os.environ["RELEASE"])


def note(ctx: Context, what: str) -> None:
    line = f"{ctx.run.id} {ctx.attempt.number} {what} {time.time_ns()}\n"
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


@task(id="child")
async def child(payload: dict[str, Any], ctx: Context) -> int:
    note(ctx, "child")
    return int(payload["n"]) * 2


@task(id="queued", queue={"name": "one-by-one", "concurrency_limit": 1})
async def queued(payload: dict[str, Any], ctx: Context) -> int:
    note(ctx, "begin")
    while not RELEASE.exists():
        await asyncio.sleep(0.02)
    return int(payload["n"])


@task(id="executing")
async def executing(payload: dict[str, Any], ctx: Context) -> int:
    handle = await child.trigger({"n": payload["n"]})
    note(ctx, f"begin:{handle.id}")
    while not RELEASE.exists():
        await asyncio.sleep(0.02)
    return int(payload["n"])


@task(id="waiting")
async def waiting(payload: dict[str, Any], ctx: Context) -> int:
    note(ctx, "wait")
    await wait.for_(seconds=payload["seconds"])
    note(ctx, "woken")
    return await child.trigger_and_wait({"n": payload["n"]}).unwrap()


@task(id="waiting-blocking")
def waiting_blocking(payload: dict[str, Any], ctx: Context) -> int:
    note(ctx, "wait")
    wait.sync.for_(seconds=payload["seconds"])
    note(ctx, "woken")
    return child.sync.trigger_and_wait({"n": payload["n"]}).unwrap()
