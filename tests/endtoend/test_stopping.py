"""Ending runs: by cancelling, by max_duration, by their own crash; and what they leave behind."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.dev.kit import Api, gone, start
from tests.endtoend.conftest import Project, happened

CANCELLING = """
def told(ctx):
    note(ctx, "on_cancel")

@task(id="async-busy", on_cancel=told)
async def async_busy(ctx: Context):
    try:
        note(ctx, "begin")
        await asyncio.sleep(600)
    finally:
        note(ctx, "finally")

@task(id="async-parked", on_cancel=told)
async def async_parked(ctx: Context):
    try:
        note(ctx, "begin")
        await wait.for_(days=1)
    finally:
        note(ctx, "finally")

@task(id="async-blocking", on_cancel=told)
async def async_blocking(ctx: Context):
    try:
        note(ctx, "begin")
        while True:
            time.sleep(0.01)
    finally:
        note(ctx, "finally")

@task(id="sync-busy", on_cancel=told)
def sync_busy(ctx: Context):
    try:
        note(ctx, "begin")
        while True:
            pass
    finally:
        note(ctx, "finally")

@task(id="sync-parked", on_cancel=told)
def sync_parked(ctx: Context):
    try:
        note(ctx, "begin")
        wait.sync.for_(days=1)
    finally:
        note(ctx, "finally")

@task(id="grandparent")
async def grandparent(ctx: Context):
    note(ctx, "begin")
    await tasks.trigger_and_wait("parent", {})

@task(id="parent")
def parent(ctx: Context):
    tasks.sync.trigger_and_wait("async-parked", {})

@task(id="bystander")
async def bystander(ctx: Context):
    await asyncio.sleep(0.05)
    return ctx.attempt.number
"""


async def begun(project: Project, run: str, what: str = "begin") -> None:
    """Wait until a run has written to the ledger."""
    async with asyncio.timeout(20):
        while not any(entry.run == run and entry.what == what for entry in project.entries()):
            await asyncio.sleep(0.02)


async def cancel(api: Api, run: str) -> Any:
    await api.call("POST", f"/api/v2/runs/{run}/cancel")
    return await api.result(run)


async def test_cancelling_ends_every_kind_of_run(project: Callable[..., Project]) -> None:
    made = project(CANCELLING)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        names = ["async-busy", "async-parked", "async-blocking", "sync-busy", "sync-parked"]
        runs = {name: await api.trigger(name) for name in names if name != "async-blocking"}
        for run in runs.values():
            await begun(made, run)
        runs["async-blocking"] = await api.trigger("async-blocking")
        await begun(made, runs["async-blocking"])
        others = [await api.trigger("bystander") for _ in range(5)]

        ends = await asyncio.gather(*(cancel(api, run) for run in runs.values()))
        assert {end["status"] for end in ends} == {"CANCELED"}
        assert [(await api.result(run))["output"] for run in others] == [1] * 5

        for name, run in runs.items():
            seen = [entry.what for entry in made.entries() if entry.run == run]
            assert sorted(seen) == ["begin", "finally", "on_cancel"], (name, seen)


async def test_cancelling_reaches_descendants(project: Callable[..., Project]) -> None:
    made = project(CANCELLING)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        top = await api.trigger("grandparent")
        await dev.line("run", lambda line: line["task"] == "async-parked" and line["event"] == "waiting")
        assert (await cancel(api, top))["status"] == "CANCELED"
        ended = [line["task"] for line in await happened(dev, "finished", 3) if line["status"] == "CANCELED"]
        assert sorted(ended) == ["async-parked", "grandparent", "parent"]


TIMES = """
@task(id="sync-busy", max_duration=1)
def sync_busy():
    while True:
        pass

@task(id="sync-deaf", max_duration=1)
def sync_deaf(ctx: Context):
    while True:
        try:
            time.sleep(600)
        except BaseException:
            note(ctx, "deaf")

@task(id="async-busy", max_duration=1)
async def async_busy():
    while True:
        pass

@task(id="async-sleeping", max_duration=1)
async def async_sleeping():
    await asyncio.sleep(600)

@task(id="waiting", max_duration=1)
async def waiting():
    await wait.for_(seconds=1.2)
    return "waits do not count"

@task(id="waiting-sync", max_duration=1)
def waiting_sync():
    wait.sync.for_(seconds=1.2)
    return "waits do not count"
"""


async def test_max_duration_ends_every_kind_of_code(project: Callable[..., Project]) -> None:
    made = project(TIMES)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        names = ["sync-busy", "sync-deaf", "async-busy", "async-sleeping", "waiting", "waiting-sync"]
        runs = [await api.trigger(name) for name in names]
        ends = await asyncio.gather(*(api.result(run) for run in runs))
    assert [end["status"] for end in ends] == ["TIMED_OUT"] * 4 + ["COMPLETED"] * 2
    assert [end["attemptCount"] for end in ends] == [1] * 6
    assert {end.get("output") for end in ends[4:]} == {"waits do not count"}
    assert "max_duration of 1 s" in ends[0]["error"]["message"]


CRASHES = """
TWICE = Retry(max_attempts=2, min_timeout_in_ms=10, max_timeout_in_ms=10)
ENDS = {
    "exit": lambda: os._exit(3),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": lambda: os.abort(),
}

@task(id="crash-sync", retry=TWICE)
def crash_sync(payload: str, ctx: Context):
    note(ctx, "crash")
    ENDS[payload]()

@task(id="crash-async", retry=TWICE)
async def crash_async(payload: str, ctx: Context):
    note(ctx, "crash")
    ENDS[payload]()

@task(id="exits")
async def exits():
    sys.exit(3)

@task(id="neighbour")
async def neighbour(payload: int, ctx: Context):
    child = await tasks.trigger_and_wait("child", payload).unwrap()
    while not os.path.exists(os.environ["RELEASE"]):
        await asyncio.sleep(0.01)
    return [child, ctx.attempt.number]

@task(id="child")
def child(payload: int):
    return payload * 2
"""


async def test_a_crash_uses_the_attempts_of_its_run_and_of_no_other(project: Callable[..., Project]) -> None:
    made = project(CRASHES)
    release = made.root / "release"
    async with start(made.root, env={**made.env, "RELEASE": str(release)}) as dev:
        api = dev.api()
        neighbours = [await api.trigger("neighbour", n + 1) for n in range(20)]
        kinds = ["exit", "segfault", "kill", "abort"]
        runs = [await api.trigger(task, kind) for task in ("crash-sync", "crash-async") for kind in kinds]
        runs.append(await api.trigger("exits", maxAttempts=1))
        ends = await asyncio.gather(*(api.result(run) for run in runs))
        release.touch()
        unhurt = await asyncio.gather(*(api.result(run) for run in neighbours))
        children = await api.call("GET", "/api/v1/runs?filter[taskIdentifier]=child&page[size]=100")

    assert [end["status"] for end in ends[:8]] == ["CRASHED"] * 8
    assert {end["attemptCount"] for end in ends[:8]} == {2}
    assert ends[8]["status"] == "FAILED"
    assert [end["output"] for end in unhurt] == [[2 * (n + 1), 1] for n in range(20)]
    assert len(children["data"]) == 20  # none was triggered again when its parent went on from its record


PROGRAMS = """
def spawn(ctx):
    program = subprocess.Popen(["sleep", "600"])
    stray = subprocess.Popen(["setsid", "sleep", "600"])
    note(ctx, f"programs:{program.pid}:{stray.pid}")

@task(id="sync-spawner")
def sync_spawner(ctx: Context):
    spawn(ctx)
    time.sleep(600)

@task(id="async-spawner")
async def async_spawner(ctx: Context):
    spawn(ctx)
    await asyncio.sleep(600)
"""


async def test_programs_of_a_task_end_with_it(project: Callable[..., Project]) -> None:
    made = project(PROGRAMS)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        runs = [await api.trigger(name) for name in ("sync-spawner", "sync-spawner", "async-spawner")]
        started = [await programs(made, run) for run in runs]

        await cancel(api, runs[0])
        gone({started[0][0]})

        pids = await dev.kill()
        gone(pids.union(*started), seconds=3)


async def programs(project: Project, run: str) -> list[int]:
    """Wait until a run has started its programs; gives their process ids."""
    async with asyncio.timeout(20):
        while True:
            for entry in project.entries():
                if entry.run == run:
                    return [int(pid) for pid in entry.what.split(":")[1:]]
            await asyncio.sleep(0.02)
