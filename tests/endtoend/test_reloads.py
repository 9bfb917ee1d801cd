"""Runs that are queued, executing or parked while the code changes under them."""

import asyncio
from collections import Counter
from collections.abc import Callable

from tests.dev.kit import Dev, start
from tests.endtoend.conftest import PREAMBLE, Project

TASKS = """
@task(id="waiting")
async def waiting(payload: int, ctx: Context):
    note(ctx, "begin")
    token = await wait.create_token()
    await tasks.trigger("other", payload)
    try:
        await wait.for_token("go")
    except BaseException as error:
        note(ctx, type(error).__name__)
        raise
    return [VERSION, payload, ctx.attempt.number]

@task(id="waiting-sync")
def waiting_sync(payload: int, ctx: Context):
    note(ctx, "begin")
    wait.sync.create_token()
    tasks.sync.trigger("other", payload)
    try:
        wait.sync.for_token("go")
    except BaseException as error:
        note(ctx, type(error).__name__)
        raise
    return [VERSION, payload, ctx.attempt.number]

@task(id="executing")
async def executing(payload: int, ctx: Context):
    note(ctx, "begin")
    while not os.path.exists(os.environ["RELEASE"]):
        await asyncio.sleep(0.01)
    await tasks.trigger("other", payload)
    return [VERSION, payload, ctx.attempt.number]

@task(id="other")
async def other(payload: int):
    return payload
"""
SOMETIMES = """
@task(id="sometimes", queue={"concurrency_limit": 1})
def sometimes(payload: int):
    return payload
"""


def version(number: int, more: str = "") -> str:
    return f"{PREAMBLE}\nVERSION = {number}\n{TASKS}{more}"


async def reload(dev: Dev, project: Project, source: str) -> None:
    """Save the tasks, and wait until they are the current ones."""
    count = len(dev.lines)
    project.write("trigger/tasks.py", source)
    await dev.line("reloaded", after=count)


async def test_parked_runs_move_to_the_new_version(project: Callable[..., Project]) -> None:
    made = project("")
    made.write("trigger/tasks.py", version(1))
    release = made.root / "release"
    async with start(made.root, env={**made.env, "RELEASE": str(release)}) as dev:
        api = dev.api()
        names = ["waiting", "waiting-sync"] * 5
        parked = [await api.trigger(name, n + 1) for n, name in enumerate(names)]
        executing = await api.trigger("executing", 99)
        await asyncio.gather(*(api.until(run, lambda run: run["status"] == "WAITING") for run in parked))
        await dev.line("run", lambda line: line["run"] == executing and line["event"] == "started")

        await reload(dev, made, version(2))
        await reload(dev, made, version(3))
        await api.call("POST", "/api/v1/waitpoints/tokens/go/complete", {"data": 1})
        outputs = [(await api.result(run))["output"] for run in parked]
        release.touch()
        old = (await api.result(executing))["output"]
        others = await api.call("GET", "/api/v1/runs?filter[taskIdentifier]=other&page[size]=100")

    assert outputs == [[3, n + 1, 1] for n in range(10)]  # from the record, in the first attempt
    assert old == [1, 99, 1]  # what executes finishes on its version
    assert len(others["data"]) == 11  # no operation was done again
    seen = Counter(entry.what for entry in made.entries())
    assert seen["RunEvicted"] == 10  # each was unwound, once
    assert seen["begin"] == 21


async def test_a_task_that_comes_back_has_its_runs_back(project: Callable[..., Project]) -> None:
    made = project("")
    made.write("trigger/tasks.py", version(1, SOMETIMES))
    release = made.root / "release"
    async with start(made.root, env={**made.env, "RELEASE": str(release)}) as dev:
        api = dev.api()
        runs = [await api.trigger("sometimes", n, delay="2s") for n in range(1, 6)]
        await reload(dev, made, version(2))
        for run in runs:
            await api.until(run, lambda run: run["status"] == "QUEUED")
        await reload(dev, made, version(3, SOMETIMES))
        ends = await asyncio.gather(*(api.result(run) for run in runs))
    assert [(end["status"], end.get("output")) for end in ends] == [("COMPLETED", n) for n in range(1, 6)]
