"""Tasks for an engine with a virtual clock: every kind of operation, and lines in a ledger."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from triggerdev import AbortTaskRunError, Context, Retry, logger, metadata, schedules, tags, task, wait

HOUR = 3_600_000
LONG = 100  # hours, longer than any test
RETRY = Retry(max_attempts=3, min_timeout_in_ms=60_000, max_timeout_in_ms=60_000)


class Surroundings:
    """What the process of the tasks tells them: the time, the ledger, and whether `sitter` may end."""

    now: Callable[[], int]
    ledger: int
    door: asyncio.Event


def note(ctx: Context, what: str) -> None:
    """Append a line `what run attempt time` to the ledger."""
    line = f"{what} {ctx.run.id} {ctx.attempt.number} {Surroundings.now()}\n"
    os.write(Surroundings.ledger, line.encode())


@task(id="child")
async def child(payload: int) -> int:
    metadata.parent.increment("children", 1)
    return payload * 2


@task(id="child-sync")
def child_sync(payload: int) -> int:
    metadata.parent.increment("children", 1)
    return payload * 2


@task(id="family")
async def family(payload: int) -> list[int]:
    logger.info("one line for the log")
    one, two = await asyncio.gather(child.trigger_and_wait(payload), child_sync.trigger_and_wait(payload))
    batch = await child.batch_trigger_and_wait([{"payload": payload + n} for n in range(3)])
    await child.trigger(payload)
    await tags.add("grown")
    return [one.unwrap(), two.unwrap(), *(each.unwrap() for each in batch)]


@task(id="sleeper")
async def sleeper(payload: int, ctx: Context) -> int:
    for number in range(2):
        note(ctx, f"wait-{number}")
        await wait.for_(hours=1)
        note(ctx, f"woken-{number}")
    return payload


@task(id="sleeper-sync")
def sleeper_sync(payload: int, ctx: Context) -> int:
    for number in range(2):
        note(ctx, f"wait-{number}")
        wait.sync.for_(hours=1)
        note(ctx, f"woken-{number}")
    return payload


@task(id="retried", retry=RETRY)
async def retried(payload: int, ctx: Context) -> int:
    await child.trigger(payload)
    if ctx.attempt.number < RETRY.max_attempts:
        raise ValueError("again")
    return payload


@task(id="hopeless", retry=RETRY)
async def hopeless(payload: int) -> None:
    raise AbortTaskRunError("no")


@task(id="errand")
async def errand(payload: int, ctx: Context) -> Any:
    await ctx.step("think", lambda: payload)
    made = await wait.create_token()
    await completing.trigger({"token": made.id, "n": payload})
    return (await wait.for_token(made)).output


@task(id="completing")
def completing(payload: dict[str, Any]) -> None:
    wait.sync.complete_token(payload["token"], payload["n"])


@task(id="mailbox")
async def mailbox(payload: int) -> Any:
    return (await wait.for_token(f"letter-{payload}")).output


@task(id="limited", queue={"name": "limited", "concurrency_limit": 2})
async def limited(payload: int) -> int:
    await asyncio.sleep(0)
    return payload


@task(id="plain")
async def plain(payload: int) -> int:
    return payload


@task(id="stubborn")
async def stubborn(payload: int) -> None:
    await asyncio.Event().wait()


@task(id="patient")
async def patient(payload: int) -> None:
    await patient_child.trigger_and_wait(payload)


@task(id="patient-child")
async def patient_child(payload: int) -> None:
    await wait.for_(hours=LONG)


@task(id="sitter")
async def sitter(payload: int) -> int:
    await child.trigger(payload)
    await Surroundings.door.wait()
    return payload


@schedules.task(id="hourly", cron="0 * * * *")
async def hourly(payload: schedules.Payload) -> str:
    return payload.timestamp.isoformat()
