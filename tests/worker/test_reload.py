"""Versions: edits, mistakes in them, runs that are under way meanwhile."""

import asyncio
import os
from pathlib import Path

from tests.worker.bench import Bench, wait_dead, write
from tests.worker.conftest import Project, StartBench
from triggerdev.worker import processes

VERSION = """
import os
from triggerdev import task

@task
async def number(payload):
    return {number}

@task
def pids(payload):
    return [os.getpid(), os.getppid()]
"""
WAITS = """
import asyncio, time
from triggerdev import task, wait

@task
async def waits(payload):
    await wait.for_(hours=1)
    return "old"

@task
def blocking_waits(payload):
    wait.sync.for_(hours=1)
    return "old"

@task
async def sleeps(payload):
    print("running", flush=True)
    await asyncio.sleep(payload)
    return "old"
"""


async def test_an_edit_of_the_same_size_is_never_stale(project: Project, start_bench: StartBench) -> None:
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    root = project({"trigger/basic.py": VERSION.format(number=0), "helpers.py": "def value(): return 0\n"})
    bench: Bench = await start_bench(root, env=env)
    stamp = (root / "helpers.py").stat().st_mtime_ns
    for number in range(10):
        text = "from helpers import value\n" + VERSION.replace("{number}", "[{number}, value()]")
        write(root, {"trigger/basic.py": text.format(number=number)})
        write(root, {"helpers.py": f"def value(): return {number}\n"})
        for name in ("trigger/basic.py", "helpers.py"):
            os.utime(root / name, ns=(stamp, stamp))  # as if all edits had come within one tick of the clock
        await bench.load()
        assert await bench.output("number") == [number, number]


async def test_a_stale_pyc_beside_the_source_is_ignored(project: Project, start_bench: StartBench) -> None:
    import py_compile

    root = project({"trigger/basic.py": VERSION.format(number=1)})
    stamp = (root / "trigger/basic.py").stat().st_mtime_ns
    cached = py_compile.compile(str(root / "trigger/basic.py"))
    assert cached is not None
    write(root, {"trigger/basic.py": VERSION.format(number=2)})
    os.utime(root / "trigger/basic.py", ns=(stamp, stamp))
    bench: Bench = await start_bench(root)
    await bench.load()
    assert await bench.output("number") == 2
    Path(cached).unlink()
    Path(cached).parent.rmdir()


async def test_the_old_version_goes_on_while_the_new_one_has_mistakes(
    project: Project, start_bench: StartBench
) -> None:
    root = project({"trigger/basic.py": VERSION.format(number=1)})
    bench: Bench = await start_bench(root)
    await bench.load()
    write(root, {"trigger/basic.py": VERSION.format(number=2) + "\ndef broken(:\n    pass\n"})
    outcome = await bench.try_load()
    assert not outcome.ok
    (problem,) = outcome.problems
    assert (problem["kind"], problem["file"], problem["line"]) == ("syntax", "trigger/basic.py", 13)
    assert problem["source_line"] == "def broken(:"
    assert outcome.files == ["trigger/basic.py"], "the watcher learns where the fix will come"
    assert await bench.output("number") == 1
    write(root, {"trigger/basic.py": VERSION.format(number=3)})
    await bench.load()
    assert await bench.output("number") == 3


async def test_an_import_that_ends_the_process_is_named(project: Project, start_bench: StartBench) -> None:
    root = project({"trigger/a.py": VERSION.format(number=1), "trigger/b.py": "import os\nos._exit(3)\n"})
    bench: Bench = await start_bench(root)
    outcome = await bench.try_load()
    assert "trigger/b.py" in outcome.problems[0]["message"]
    assert "exit code 3" in outcome.problems[0]["message"]


async def test_an_import_that_hangs_is_named_and_killed(project: Project, start_bench: StartBench) -> None:
    from triggerdev.worker.events import Limits

    root = project({"trigger/basic.py": VERSION.format(number=1)})
    bench: Bench = await start_bench(root, limits=Limits(load_timeout=2))
    while not (await bench.try_load()).ok:
        pass  # a busy machine may need longer to start everything
    write(root, {"trigger/hangs.py": "while True: pass\n"})
    outcome = await bench.try_load()
    assert "trigger/hangs.py" in outcome.problems[0]["message"]
    assert "2 s" in outcome.problems[0]["message"]


async def test_executing_runs_finish_on_their_version(project: Project, start_bench: StartBench) -> None:
    root = project({"trigger/basic.py": WAITS})
    bench: Bench = await start_bench(root)
    await bench.load()
    run = bench.start("sleeps", 0.5)
    await bench.line("running")
    write(root, {"trigger/basic.py": WAITS.replace('"old"', '"new"')})
    await bench.load()
    assert (await bench.end(run))["output"] == '"old"'
    assert await bench.output("sleeps", 0) == "new"


async def test_runs_that_only_wait_leave_the_old_version(project: Project, start_bench: StartBench) -> None:
    bench: Bench = await start_bench(project({"trigger/basic.py": WAITS}))
    await bench.load()
    runs = [bench.start("waits"), bench.start("blocking-waits")]
    for run in runs:
        await bench.park(run)
    await bench.load()
    for run in runs:
        assert (await bench.end(run))["outcome"] == "evicted"


async def test_a_run_that_begins_to_wait_on_an_old_version_is_evicted(
    project: Project, start_bench: StartBench
) -> None:
    bench: Bench = await start_bench(project({"trigger/basic.py": WAITS}))
    await bench.load()
    run = bench.start("waits")
    op = await bench.message(lambda m: m["t"] == "op" and m["run"] == run)
    await bench.load()
    bench.say("reply", run, id=op["id"], pending=True)
    assert (await bench.end(run))["outcome"] == "evicted"


async def test_a_parked_run_goes_on_where_it_stood(project: Project, start_bench: StartBench) -> None:
    bench: Bench = await start_bench(project({"trigger/basic.py": WAITS}))
    await bench.load()
    for task in ("waits", "blocking-waits"):
        run = bench.start(task)
        op = await bench.park(run)
        done = [{"op": op["op"], "kind": "wait", "target": None, "done": True, "result": None}]
        bench.say("resume", run, 2, old=1, ops=done)
        assert (await bench.end(run, 2))["output"] == '"old"'


async def test_a_resume_of_a_run_that_is_not_here_is_answered_with_lost(
    project: Project, start_bench: StartBench
) -> None:
    bench: Bench = await start_bench(project({"trigger/basic.py": WAITS}))
    await bench.load()
    bench.say("resume", "run_elsewhere", 2, old=1, ops=[])
    assert (await bench.end("run_elsewhere", 2))["outcome"] == "lost"


async def test_fifty_reloads_leave_no_process(project: Project, start_bench: StartBench) -> None:
    root = project({"trigger/basic.py": VERSION.format(number=0)})
    bench: Bench = await start_bench(root)
    for number in range(50):
        write(root, {"trigger/basic.py": VERSION.format(number=number)})
        await bench.load()
        assert await bench.output("number") == number
    worker, version = await bench.output("pids")
    seen = set(bench.pids())
    entries = {entry.pid: entry for entry in processes.list_processes()}
    kept = {version, entries[version].parent} | {e.pid for e in entries.values() if e.parent == version}
    for pid in seen - kept:
        await asyncio.to_thread(wait_dead, pid)
    assert worker in bench.pids()
    assert len(bench.pids()) <= 2 + 1 + 4, "template, version, one loop, and the warm pool"
    assert [path.name for path in root.iterdir()] == ["trigger"]


async def test_freed_slots_are_told(project: Project, start_bench: StartBench) -> None:
    bench: Bench = await start_bench(project({"trigger/basic.py": WAITS}))
    assert bench.supervisor.capacity() == {"async": 0, "sync": 0}
    await bench.load()
    full = bench.supervisor.capacity()
    run = bench.start("blocking-waits")
    assert bench.supervisor.capacity()["sync"] == full["sync"] - 1
    await bench.park(run)
    await bench.until(lambda: bench.supervisor.capacity() == full)


async def test_a_thread_at_import_is_named_and_workers_are_spawned(
    project: Project, start_bench: StartBench
) -> None:
    root = project(
        {
            "trigger/basic.py": "import background\n" + VERSION.format(number=4),
            "background.py": "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n",
        }
    )
    bench: Bench = await start_bench(root)
    outcome = await bench.load()
    assert outcome.manifest is not None
    assert outcome.manifest["threads"] == ["background"]
    assert "background" in (await bench.event("threads")).message
    assert await bench.output("number") == 4
    worker, version = await bench.output("pids")
    assert worker != version
    write(root, {"trigger/basic.py": "def broken(:\n", "trigger/more.py": "raise SystemExit\n"})
    assert not (await bench.try_load()).ok
    again, _ = await bench.output("pids")
    assert again in bench.pids(), "the old version still starts workers, with the old code"


async def test_a_package_whose_import_leaves_a_thread_is_not_preloaded(
    project: Project, start_bench: StartBench, tmp_path: Path
) -> None:
    write(
        tmp_path / "site-packages",
        {
            "calm_package.py": "value = 7\n",
            "busy_package.py": "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n",
        },
    )
    text = "import calm_package\n" + VERSION.format(number="calm_package.value")
    env = {"PYTHONPATH": str(tmp_path / "site-packages")}
    bench: Bench = await start_bench(project({"trigger/basic.py": text}), env=env)
    outcome = await bench.load()
    assert outcome.manifest is not None
    assert "calm_package" in outcome.manifest["packages"]
    bench.supervisor._preload(["busy_package"])
    assert "busy_package" in (await bench.event("preload_failed")).message
    await bench.load()
    assert await bench.output("number") == 7
    assert [event for event in bench.events if event.kind == "threads"] == []


async def test_a_changed_environment_reaches_the_next_version(
    project: Project, start_bench: StartBench
) -> None:
    root = project({"trigger/basic.py": VERSION.format(number="os.environ.get('COLOUR')")})
    bench: Bench = await start_bench(root, env={"COLOUR": "red"})
    await bench.load()
    assert await bench.output("number") == "red"
    (guard,) = bench.supervisor.process_ids()
    bench.supervisor.configure(bench.supervisor.settings, {**os.environ, "COLOUR": "blue"})
    await bench.load()
    assert await bench.output("number") == "blue"
    await asyncio.to_thread(wait_dead, guard)
