"""Tasks that wait for time or tokens. Two lines with a name and milliseconds enclose each wait for time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from trigger.leaves import LONG, completing, completing_sync

from tests.reliability.ledger import end, note, place
from triggerdev import Context, task, wait


@task(id="waits", retry=LONG)
async def waits(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    for number in range(2):
        note(ctx, "wait", f"{number}:150")
        await wait.for_(seconds=0.15)
        note(ctx, "woken", f"{number}:150")
    return end(ctx, payload["n"])


@task(id="waits-sync", retry=LONG)
def waits_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    for number in range(2):
        note(ctx, "wait", f"{number}:150")
        wait.sync.for_(seconds=0.15)
        note(ctx, "woken", f"{number}:150")
    return end(ctx, payload["n"])


@task(id="waits-until", retry=LONG)
async def waits_until(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "wait", "until:200")
    await wait.until(datetime.now(UTC) + timedelta(milliseconds=200))
    note(ctx, "woken", "until:200")
    return end(ctx, payload["n"])


@task(id="tokens", retry=LONG)
async def tokens(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    made = await wait.create_token(tags=[place(ctx, "token")])
    await completing.trigger({"n": payload["n"], "key": place(ctx, "0"), "token": made.id})
    return end(ctx, await wait.for_token(made).unwrap())


@task(id="tokens-sync", retry=LONG)
def tokens_sync(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    note(ctx, "begin")
    made = wait.sync.create_token(tags=[place(ctx, "token")])
    completing_sync.sync.trigger({"n": payload["n"], "key": place(ctx, "0"), "token": made.id})
    return end(ctx, wait.sync.for_token(made).unwrap())
