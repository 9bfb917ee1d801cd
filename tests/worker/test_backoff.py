"""Files, processes or memory run out: runs wait in their slots for better times, none is lost or blamed."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.bench import Bench
from tests.worker.conftest import Project, StartBench
from triggerdev.worker.events import Limits

TASKS = """
import os
from pathlib import Path
from triggerdev import task

fork = os.fork

def fork_if_possible():
    if Path("full").exists():
        raise BlockingIOError(11, "Resource temporarily unavailable")
    pid = fork()
    if pid == 0 and Path("poor").exists():
        os._exit(3)
    return pid

os.fork = fork_if_possible

@task
async def score(payload):
    return int(open("/proc/self/oom_score_adj").read())

@task
def score_sync(payload):
    return int(open("/proc/self/oom_score_adj").read())

@task
def plain(payload):
    return payload

@task
async def coroutine(payload):
    return payload
"""
NO_SPARES = Limits(spares=0)
TASK_NAMES = ["plain", "coroutine"]


@contextlib.contextmanager
def no_files() -> Iterator[None]:
    """Let no file be opened in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    lowest_free = next(number for number in range(soft) if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def bench_with(project: Project, start_bench: StartBench) -> Bench:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}), limits=NO_SPARES)
    await bench.load()
    return bench


async def test_without_files_a_run_keeps_its_slot_and_comes_back(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    with no_files():
        run = bench.start("plain", 1)
    event = await bench.event("exhausted")
    assert "Too many open files" in event.message
    assert bench.supervisor.capacity()["sync"] == Limits().sync_slots - 1
    assert (await bench.end(run))["outcome"] == "lost"
    assert bench.supervisor.capacity()["sync"] == Limits().sync_slots
    bench.start("plain", 1, run=run, token=2)
    assert (await bench.end(run, 2))["outcome"] == "ok"


@pytest.mark.parametrize("task", TASK_NAMES)
async def test_without_processes_a_run_is_tried_again(
    project: Project, start_bench: StartBench, task: str
) -> None:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}), limits=NO_SPARES)
    (bench.root / "full").touch()
    await bench.load()
    run = bench.start(task, 1)
    for token in (2, 3, 4):
        assert (await bench.end(run, token - 1))["outcome"] == "lost"
        if token == 4:
            (bench.root / "full").unlink()
        bench.start(task, 1, run=run, token=token)
    assert (await bench.end(run, 4))["outcome"] == "ok"
    (event,) = (event for event in bench.events if event.kind == "exhausted")
    assert "Resource temporarily unavailable" in event.message
    assert bench.supervisor.executing == 0


@pytest.mark.parametrize("task", TASK_NAMES)
async def test_processes_that_end_before_they_are_ready_are_no_fault_of_a_run(
    project: Project, start_bench: StartBench, task: str
) -> None:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}), limits=NO_SPARES)
    (bench.root / "poor").touch()
    await bench.load()
    run = bench.start(task, 1)
    for token in range(2, 6):
        assert (await bench.end(run, token - 1))["outcome"] == "lost"
        if token == 5:
            (bench.root / "poor").unlink()
        bench.start(task, 1, run=run, token=token)
    assert (await bench.end(run, 5))["outcome"] == "ok"
    assert "exit code 3 before it is ready" in (await bench.event("exhausted")).message


@pytest.mark.parametrize("task", ["score", "score-sync"])
async def test_when_memory_runs_out_a_worker_is_ended_first(
    project: Project, start_bench: StartBench, task: str
) -> None:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}), limits=NO_SPARES)
    await bench.load()
    engine = int(Path("/proc/self/oom_score_adj").read_text())
    assert await bench.output(task) == max(500, engine)


async def test_a_run_that_waits_for_a_process_is_given_back_at_the_stop(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    with no_files():
        run = bench.start("plain", 1)
    await bench.stop()
    assert (await bench.end(run))["outcome"] == "lost"


async def test_without_files_the_code_is_loaded_later(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    with no_files():
        outcome = await bench.try_load()
    assert not outcome.ok
    assert "Too many open files" in outcome.problems[0]["message"]
    await bench.load()
    assert await bench.output("plain", 2) == 2


async def test_without_processes_the_code_is_loaded_later(project: Project, start_bench: StartBench) -> None:
    starved = """
import os
from pathlib import Path
fork = os.fork

def fork_if_possible():
    if Path("full").exists():
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = fork_if_possible
"""
    root = project({"trigger/tasks.py": f"import starved\n{TASKS}"})
    folder = root.parent / "site"
    folder.mkdir()
    (folder / "starved.py").write_text(starved)
    bench: Bench = await start_bench(root, env={"PYTHONPATH": str(folder)})
    await bench.load()
    await bench.output("plain", 1)
    (root / "full").touch()
    outcome = await bench.try_load()
    assert not outcome.ok
    assert "Resource temporarily unavailable" in outcome.problems[0]["message"]
    (root / "full").unlink()
    await bench.load()
    assert await bench.output("plain", 2) == 2
