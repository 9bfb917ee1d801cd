"""Which parked runs leave their process: long waits, those beyond a limit, and some when memory is short."""

import asyncio
from typing import Any

import pytest

from tests.worker.bench import Bench
from tests.worker.conftest import Project, StartBench
from triggerdev.protocol import OpRecord
from triggerdev.worker.events import Limits

TASKS = """
import asyncio, os
from triggerdev import task, wait

@task
def plain(payload):
    try:
        wait.sync.for_(seconds=payload)
        return "waited"
    finally:
        print("unwound", os.getpid(), flush=True)

@task
async def coroutine(payload):
    try:
        await wait.for_(seconds=payload)
        return "waited"
    finally:
        print("unwound", flush=True)

def resumed(wait):
    print("resumed", wait["type"], flush=True)

@task(on_resume=resumed)
def hooked_plain(payload):
    for _ in range(2):
        wait.sync.for_(seconds=3600)

@task(on_resume=resumed)
async def hooked_coroutine(payload):
    for _ in range(2):
        await wait.for_(seconds=3600)

@task
async def token(payload):
    await wait.for_token("somebody")

@task
async def impatient(payload):
    async with asyncio.timeout(1000):
        await wait.for_token("somebody")

@task
async def heavy(payload):
    ballast = bytearray(os.urandom(payload * 1_000_000))
    await wait.for_(seconds=30)
    return len(ballast)

@task
async def quick(payload):
    return payload
"""


async def bench_with(project: Project, start_bench: StartBench, **limits: Any) -> Bench:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}), limits=Limits(**limits))
    await bench.load()
    return bench


def evicted(bench: Bench) -> list[str]:
    return [message["run"] for message in bench.messages if message["t"] == "evicted"]


@pytest.mark.parametrize("task", ["plain", "coroutine"])
async def test_a_long_wait_leaves_its_process_and_goes_on_from_its_record(
    project: Project, start_bench: StartBench, task: str
) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start(task, 30 * 86_400)
    op = await bench.park(run)
    assert (await bench.end(run))["outcome"] == "evicted"
    await bench.until(lambda: any(line.startswith("unwound") for line in bench.lines()))
    record = OpRecord(op=op["op"], kind="wait", target=None, done=True, result=None)
    bench.start(task, 30 * 86_400, run=run, token=2, record=[record], resumed=True)
    assert (await bench.end(run, 2))["output"] == '"waited"'


@pytest.mark.parametrize("task", ["hooked-plain", "hooked-coroutine"])
async def test_hooks_hear_that_an_evicted_run_goes_on(
    project: Project, start_bench: StartBench, task: str
) -> None:
    bench = await bench_with(project, start_bench)
    run, record = bench.start(task), list[OpRecord]()
    for token in (1, 2):
        op = await bench.park(run, token)
        assert (await bench.end(run, token))["outcome"] == "evicted"
        record.append(OpRecord(op=op["op"], kind="wait", target=None, done=True, result=None))
        bench.start(task, run=run, token=token + 1, record=record, resumed=True)
    assert (await bench.end(run, 3))["outcome"] == "ok"
    assert bench.lines().count("resumed duration") == 2, "once for each wait"


async def test_a_short_wait_keeps_its_process(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    short, long = bench.start("coroutine", 30), bench.start("coroutine", 3000)
    await asyncio.gather(bench.park(short), bench.park(long))
    assert (await bench.end(long))["outcome"] == "evicted"
    op = next(m["op"] for m in bench.messages if m["t"] == "op" and m["run"] == short)
    record = OpRecord(op=op, kind="wait", target=None, done=True, result=None)
    bench.supervisor.deliver([{"t": "resume", "run": short, "old": 1, "token": 2, "ops": [record]}])
    assert (await bench.end(short, 2))["output"] == '"waited"'


async def test_a_wait_without_a_known_end_stays_for_a_while(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench, evict_after=1.5)
    await bench.park(bench.start("impatient"))
    token = bench.start("token")
    await bench.park(token)
    parked_at = asyncio.get_running_loop().time()
    assert (await bench.end(token))["outcome"] == "evicted"
    assert asyncio.get_running_loop().time() - parked_at > 1.4
    assert evicted(bench) == [token], "a timer of its own would start anew"


async def test_nothing_leaves_when_that_is_switched_off(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench, evict_after=0, parked=1)
    coroutine = bench.start("coroutine", 30 * 86_400)
    await bench.park(coroutine)
    runs = [bench.start("plain", seconds) for seconds in (3000, 6000)]
    await asyncio.gather(*(bench.park(run) for run in runs))
    assert (await bench.end(runs[1]))["outcome"] == "evicted"
    assert evicted(bench) == [runs[1]]


async def test_beyond_the_limit_the_process_whose_wait_ends_latest_makes_room(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench, parked=2, evict_after=0)
    runs = {seconds: bench.start("plain", seconds) for seconds in (40, 60, 20, 50, 30)}
    await asyncio.gather(*(bench.park(run) for run in runs.values()))
    for seconds in (60, 50, 40):
        assert (await bench.end(runs[seconds]))["outcome"] == "evicted"
    assert set(evicted(bench)) == {runs[40], runs[50], runs[60]}


async def test_memory_beyond_its_limit_is_freed_by_eviction(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench, memory=200_000_000)
    heavy = [bench.start("heavy", 40) for _ in range(6)]
    for run in heavy:
        await bench.park(run)
    event = await bench.event("memory")
    assert "more than the limit of 190 MB" in event.message
    await bench.until(lambda: len(evicted(bench)) >= 2)
    assert await bench.output("quick", 1) == 1
