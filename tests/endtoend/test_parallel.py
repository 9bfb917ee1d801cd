"""Branches of a run: gather, TaskGroup, finally, timeouts, with waits and children in them."""

import asyncio
from collections.abc import Callable

from tests.dev.kit import start
from tests.endtoend.conftest import Project

PARALLEL = """
@task(id="child")
async def child(payload: int):
    await asyncio.sleep(0.01)
    if payload < 0:
        raise AbortTaskRunError("negative")
    return payload * 2

@task(id="gathering")
async def gathering():
    started = time.monotonic()
    nap, first, second, batch, token = await asyncio.gather(
        wait.for_(seconds=0.3),
        child.trigger_and_wait(1),
        child.trigger_and_wait(2).unwrap(),
        child.batch_trigger_and_wait([{"payload": n} for n in (3, -4, 5)]),
        wait.for_token("never", timeout="1s"),
    )
    took = time.monotonic() - started
    return [nap, first.output, second, [result.ok for result in batch], token.ok, took >= 1]

@task(id="group", retry=Retry(max_attempts=1))
async def group(ctx: Context):
    async def failing():
        await wait.for_(seconds=0.1)
        raise ValueError("one of them")

    async def waiting():
        try:
            await wait.for_(days=1)
        except asyncio.CancelledError:
            note(ctx, "cancelled")
            raise

    try:
        async with asyncio.TaskGroup() as tasks_of_it:
            tasks_of_it.create_task(waiting())
            tasks_of_it.create_task(failing())
    except* ValueError as errors:
        note(ctx, "caught")
    return (await child.trigger_and_wait(7)).output

@task(id="finally", retry=Retry(max_attempts=1))
async def in_finally(ctx: Context):
    try:
        raise ValueError("gone wrong")
    finally:
        await wait.for_(seconds=0.1)
        note(ctx, "cleaned")

@task(id="finally-sync", retry=Retry(max_attempts=1))
def in_finally_sync(ctx: Context):
    try:
        raise ValueError("gone wrong")
    finally:
        wait.sync.for_(seconds=0.1)
        child.sync.trigger_and_wait(1)
        note(ctx, "cleaned")

@task(id="timeout")
async def timeout():
    try:
        async with asyncio.timeout(0.2):
            await wait.for_(days=1)
    except TimeoutError:
        pass
    try:
        await asyncio.wait_for(wait.for_token("nobody"), 0.2)
    except TimeoutError:
        return (await child.trigger_and_wait(3)).output

@task(id="racing")
async def racing():
    done, pending = await asyncio.wait(
        [asyncio.ensure_future(wait.for_(seconds=s)) for s in (0.1, 600)], return_when=asyncio.FIRST_COMPLETED
    )
    for task in pending:
        task.cancel()
    return [len(done), len(pending), (await child.trigger_and_wait(5)).output]

@task(id="mutex", queue={"name": "mutex", "concurrency_limit": 1})
async def mutex(payload: int, ctx: Context):
    note(ctx, f"begin")
    if payload:
        async with asyncio.timeout(30):
            return await mutex.trigger_and_wait(payload - 1).unwrap()
    return "bottom"

@task(id="beating", queue={"name": "beating", "concurrency_limit": 1})
async def beating(payload: int):
    async def beat():
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.05)

    beats = []
    if not payload:
        await asyncio.sleep(0.5)
        return "bottom"
    heart = asyncio.create_task(beat())
    try:
        return await beating.trigger_and_wait(payload - 1).unwrap()
    finally:
        heart.cancel()
"""


async def test_branches_wait_and_fail_beside_each_other(project: Callable[..., Project]) -> None:
    made = project(PARALLEL)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        names = ("gathering", "group", "timeout", "racing", "finally", "finally-sync")
        runs = {name: await api.trigger(name) for name in names}
        ends = {name: await api.result(run) for name, run in runs.items()}
        seen = [(entry.run, entry.what) for entry in made.entries()]

    assert ends["gathering"]["output"] == [None, 2, 4, [True, False, True], False, True]
    assert ends["group"]["output"] == 14
    assert [what for run, what in seen if run == runs["group"]] == ["cancelled", "caught"]
    assert ends["timeout"]["output"] == 6
    assert ends["racing"]["output"] == [1, 1, 10]
    for name in ("finally", "finally-sync"):
        assert (ends[name]["status"], ends[name]["error"]["message"]) == ("FAILED", "gone wrong")
        assert (runs[name], "cleaned") in seen


async def test_waiting_for_a_child_in_ones_own_queue_is_no_deadlock(project: Callable[..., Project]) -> None:
    made = project(PARALLEL)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        runs = [await api.trigger(name, 2) for name in ("mutex", "beating")]
        async with asyncio.timeout(15):
            assert [(await api.result(run))["output"] for run in runs] == ["bottom"] * 2
