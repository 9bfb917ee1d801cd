"""The memory of runs: refused or killed beyond their machine's, told in the end, and no matter to others."""

import os
import signal
from typing import Any

import pytest

from tests.worker.bench import Bench
from tests.worker.conftest import Project, StartBench
from triggerdev.protocol import Message
from triggerdev.worker import confining, memory, rooms
from triggerdev.worker.events import Limits

MB = 2**20
TASKS = """
import asyncio, ctypes, mmap, os, threading
from triggerdev import task

kept = []

def touch(megabytes):
    return bytearray(megabytes << 20)  # zeros that are written

@task
def takes(payload):
    return len(touch(payload))

@task
async def takes_too(payload):
    await asyncio.sleep(0)
    return len(touch(payload))

@task
def swallows(payload):
    try:
        touch(2048)
    except MemoryError:
        return "made do with less"

@task
def keeps(payload):
    kept.append(touch(payload))
    return os.getpid()

@task
def pid(payload):
    return os.getpid()

@task
def shares(payload):
    shared = mmap.mmap(-1, 600 << 20)  # shared memory, which no limit of a process refuses
    for page in range(0, len(shared), mmap.PAGESIZE):
        shared[page] = 1
    while True:
        pass

@task
async def creeps(payload):
    hoard = []
    while True:
        hoard.append(mmap.mmap(-1, 1 << 20))  # shared memory, which is found, not refused
        hoard[-1].write(bytes(1 << 20))
        await asyncio.sleep(0)

@task
def dies(payload):
    kept.append(touch(60))
    ctypes.string_at(0)

@task
def threads(payload):
    barrier = threading.Barrier(payload + 1)
    for _ in range(payload):
        threading.Thread(target=barrier.wait).start()
    barrier.wait()
    return payload

@task
async def patient(payload):
    print("running", flush=True)
    await asyncio.sleep(payload)
    return "undisturbed"
"""

pytestmark = pytest.mark.skipif(not confining.can_limit_data(), reason="this system bounds no memory")


async def bench_with(project: Project, start_bench: StartBench, **options: Any) -> Bench:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}), **options)
    await bench.load()
    return bench


def is_out_of_memory(done: Message, machine: str = "micro has 256 MB") -> bool:
    error = done["error"]
    assert error["code"] == "TASK_PROCESS_OOM_KILLED", done
    return error["type"] == "INTERNAL_ERROR" and machine in error["message"]


async def test_a_request_beyond_the_machine_ends_the_run(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("takes", 2048, machine="micro"))
    assert is_out_of_memory(done)
    assert done["error"]["location"] == "trigger/tasks.py:8", "it is known where"
    assert done["peak_memory"] < 100 * MB, "the memory was never used"


async def test_what_a_machine_has_can_be_used_and_is_told(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("takes", 200, machine="micro"))
    assert done["outcome"] == "ok"
    assert 190 * MB <= done["peak_memory"] < 256 * MB


async def test_each_run_of_a_process_has_the_limit_of_its_own_machine(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench, limits=Limits(spares=0, idle=1, sync_slots=1))
    for machine, outcome in [("micro", "failed"), ("medium-1x", "ok"), ("micro", "failed")]:
        assert (await bench.end(bench.start("takes", 400, machine=machine)))["outcome"] == outcome
    small = await bench.end(bench.start("takes", 1, machine="micro"))
    assert small["peak_memory"] < 100 * MB, "the peak is that of the run, not of those before it"


async def test_a_task_may_do_with_less(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("swallows", machine="micro"))
    assert done["output"] == '"made do with less"'


async def test_a_process_that_keeps_much_is_replaced(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench, limits=Limits(spares=0, idle=1))
    first = await bench.output("pid")
    assert await bench.output("keeps", 20) == first, "a little does not matter"
    assert await bench.output("keeps", rooms.WORN // MB) == first
    assert await bench.output("pid") != first
    assert "worn" not in str(bench.messages), "that is no matter of the engine's"


async def test_shared_memory_is_found_too(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("shares", machine="micro"))
    assert done["outcome"] == "crashed"
    assert is_out_of_memory(done)
    assert done["peak_memory"] > 256 * MB


async def test_the_peak_of_a_run_that_kills_its_process_is_known(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("dies"))
    assert done["error"]["code"] == "TASK_PROCESS_SIGSEGV"
    assert 55 * MB <= done["peak_memory"] < 150 * MB


async def test_threads_have_room(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("threads", 16, machine="micro"))
    assert done["outcome"] == "ok", done


async def test_a_coroutine_is_tried_alone_and_the_others_of_its_loop_do_not_notice(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    others = [bench.start("patient", 0.5, machine="micro") for _ in range(20)]
    await bench.until(lambda: bench.lines().count("running") == 20)
    hog = bench.start("takes-too", 2048, machine="micro")
    assert (await bench.end(hog))["outcome"] == "evicted", "others use that loop's memory, too"
    bench.start("takes-too", 2048, machine="micro", run=hog, token=2)
    done = await bench.end(hog, 2)
    assert is_out_of_memory(done)
    assert "peak_memory" in done
    assert [(await bench.end(run))["outcome"] for run in others] == ["ok"] * 20
    assert "suspect" not in str(bench.messages), "that is no matter of the engine's"


async def test_a_coroutine_that_is_innocent_ends_well_when_it_is_alone(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start("takes-too", 900, machine="micro")
    assert (await bench.end(run))["outcome"] == "evicted"
    bench.start("takes-too", 200, machine="micro", run=run, token=2)
    done = await bench.end(run, 2)
    assert done["outcome"] == "ok"
    assert 190 * MB <= done["peak_memory"] < 256 * MB


async def test_a_loop_that_grows_in_small_steps_is_ended_and_the_others_go_on(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    runs = {bench.start("patient", 1000, machine="micro"): "patient" for _ in range(3)}
    await bench.until(lambda: bench.lines().count("running") == 3)
    runs[bench.start("creeps", machine="micro")] = "creeps"
    ends = {}
    for run, task in runs.items():
        token = 1
        while (done := await bench.end(run, token))["outcome"] in ("lost", "evicted"):
            token += 1
            assert token <= 5
            bench.start(task, 0, run=run, token=token, machine="micro")
        ends[run] = done
    assert [done["outcome"] for done in ends.values()][:3] == ["ok"] * 3
    assert is_out_of_memory(list(ends.values())[-1])


async def test_runs_of_different_machines_have_different_loops(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    big = await bench.end(bench.start("takes-too", 1000, machine="large-1x"))
    small = await bench.end(bench.start("takes-too", 1000, machine="micro"))
    assert (big["outcome"], small["outcome"]) == ("ok", "evicted")


async def test_a_kill_from_outside_is_no_shortage(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench, limits=Limits(spares=0))
    run = bench.start("patient", 1000)
    await bench.line("running")
    worker = next(iter(bench.supervisor._dispatcher.workers()))
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert (await bench.end(run))["error"]["code"] == "TASK_PROCESS_MAYBE_OOM_KILLED"


def test_the_system_tells_of_this_process() -> None:
    before = memory.require_usage()
    filled = bytearray(64 * MB)
    after = memory.require_usage()
    assert after.private - before.private > 60 * MB
    assert after.peak >= after.resident
    del filled
    memory.forget_peak()
    assert memory.require_usage().peak < after.peak
    own, nobody = memory.private_of(os.getpid()), memory.private_of(2**22 - 1)
    assert own is not None
    assert abs(own - memory.require_usage().private) < 20 * MB
    assert nobody is None


@pytest.mark.parametrize(
    ("machine", "runs", "megabytes"), [("micro", 1, 512), ("micro", 21, 512 + 160), ("large-2x", 1, 16640)]
)
def test_the_room_of_a_loop_grows_with_its_runs(machine: str, runs: int, megabytes: int) -> None:
    assert rooms.loop_bytes(machine, runs) == megabytes * MB
