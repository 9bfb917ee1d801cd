"""What is left when processes die: nothing of ours when the parent is gone, and work goes on otherwise."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.bench import Bench, wait_dead
from tests.worker.conftest import Project, StartBench
from triggerdev.worker import processes

TASKS = """
import os, subprocess, sys, time
from triggerdev import task

@task
async def number(payload):
    return 1

@task
def family(payload):
    program = subprocess.Popen(["sleep", "1000"])
    escaped = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print("family", program.pid, escaped.pid, flush=True)
    time.sleep(1000)

@task
def parents(payload):
    return [os.getpid(), os.getppid()]
"""
DRIVER = """
import asyncio, json, sys
from pathlib import Path
import pytest

from tests.worker.bench import Bench

async def main():
    bench = Bench(Path(sys.argv[1]))
    await bench.supervisor.start()
    await bench.load()
    for _ in range(3):
        bench.start("family")
    await bench.until(lambda: sum(line.startswith("family ") for line in bench.lines()) == 3)
    programs = [int(pid) for line in bench.lines() if line.startswith("family ") for pid in line.split()[1:]]
    everything = bench.pids() + bench.supervisor.process_ids()
    print(json.dumps({"programs": programs, "all": everything}), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_kill_9_of_the_parent_leaves_no_process(project: Project) -> None:
    root = project({"trigger/tasks.py": TASKS})
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(root)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with driver:
        assert driver.stdout is not None
        told = json.loads(await asyncio.to_thread(driver.stdout.readline))
        assert len(told["programs"]) == 6
        assert set(told["programs"]) <= set(told["all"])
        driver.kill()
    for pid in told["all"]:
        await asyncio.to_thread(wait_dead, pid)


async def test_stop_ends_also_programs_that_moved_to_another_session(
    project: Project, start_bench: StartBench
) -> None:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}))
    await bench.load()
    run = bench.start("family")
    await bench.until(lambda: any(line.startswith("family ") for line in bench.lines()))
    programs = [int(pid) for line in bench.lines() if line.startswith("family ") for pid in line.split()[1:]]
    await bench.stop()
    for pid in programs:
        await asyncio.to_thread(wait_dead, pid)
    assert (await bench.end(run))["outcome"] in ("evicted", "lost")


async def test_work_goes_on_when_the_version_process_is_killed(
    project: Project, start_bench: StartBench
) -> None:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}))
    await bench.load()
    _, version = await bench.output("parents")
    os.kill(version, signal.SIGKILL)
    await bench.event("recovered")
    assert await bench.output("number") == 1


@pytest.mark.parametrize("task", ["parents", "number"])
async def test_runs_that_come_before_the_death_of_the_version_process_is_known(
    task: str, project: Project, start_bench: StartBench
) -> None:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}))
    await bench.load()
    worker, version = await bench.output("parents")
    os.kill(version, signal.SIGKILL)
    wait_dead(version)
    wait_dead(worker)
    runs = [bench.start(task) for _ in range(30)]  # in the same turn of the loop
    assert {(await bench.end(run))["outcome"] for run in runs} == {"lost"}
    await bench.event("recovered")
    assert await bench.output("number") == 1


async def test_recovery_does_not_give_up_when_its_process_is_killed_too(
    project: Project, start_bench: StartBench
) -> None:
    mortal = """
import os, pathlib
if pathlib.Path("mortal").exists():
    pathlib.Path("mortal").unlink()
    os.kill(os.getpid(), 9)
"""
    root = project({"trigger/tasks.py": TASKS, "trigger/mortal.py": mortal})
    bench: Bench = await start_bench(root)
    await bench.load()
    _, version = await bench.output("parents")
    (root / "mortal").touch()
    os.kill(version, signal.SIGKILL)
    await bench.event("recovery_failed")
    await bench.event("recovered")
    assert await bench.output("number") == 1


async def test_work_goes_on_when_the_template_is_killed(project: Project, start_bench: StartBench) -> None:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}))
    await bench.load()
    _, version = await bench.output("parents")
    (template,) = (entry.parent for entry in processes.list_processes() if entry.pid == version)
    run = bench.start("family")
    await bench.until(lambda: any(line.startswith("family ") for line in bench.lines()))
    os.kill(template, signal.SIGKILL)
    assert (await bench.end(run))["outcome"] == "lost"
    await bench.event("recovered")
    assert await bench.output("number") == 1


async def test_output_past_python_reaches_the_run(project: Project, start_bench: StartBench) -> None:
    text = "import os\nfrom triggerdev import task\n@task\ndef shouts(payload):\n"
    text += "    os.system('echo from a program')\n"
    bench: Bench = await start_bench(project({"trigger/tasks.py": text}))
    await bench.load()
    run = bench.start("shouts")
    await bench.end(run)
    await bench.line("from a program")
