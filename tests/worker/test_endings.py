"""Runs that have to end: max_duration, cancel, crashes of their process, a loop that is blocked."""

import os

from tests.worker.bench import Bench, wait_dead
from tests.worker.conftest import Project, StartBench
from triggerdev.worker.events import Limits

TASKS = """
import asyncio, os, signal, subprocess, sys, time
from triggerdev import task

@task
def runaway(payload):
    print("running", flush=True)
    while True:
        pass

@task
def stubborn(payload):
    print("running", flush=True)
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass

@task
def starts_program(payload):
    program = subprocess.Popen(["sleep", "1000"])
    print("program", program.pid, flush=True)
    time.sleep(1000)

@task
def dies(payload):
    if payload["signal"]:
        os.kill(os.getpid(), payload["signal"])
    os._exit(payload["code"])

@task
def pid(payload):
    return os.getpid()

@task
async def poison(payload):
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGSEGV)

@task
async def patient(payload):
    print("running", flush=True)
    await asyncio.sleep(payload)
    return "undisturbed"

@task
async def blocker(payload):
    time.sleep(payload)
    return "done"

@task
async def quick(payload):
    return payload
"""
HASTY = Limits(cancel_grace=0.3, timeout_grace=0.3, evict_grace=0.3)


async def bench_with(project: Project, start_bench: StartBench, limits: Limits = HASTY) -> Bench:
    bench: Bench = await start_bench(project({"trigger/tasks.py": TASKS}), limits=limits)
    await bench.load()
    return bench


async def test_a_runaway_loop_ends_at_max_duration(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("runaway", max_duration_ms=200))
    assert done["outcome"] == "timed_out"
    assert done["error"]["code"] == "MAX_DURATION_EXCEEDED"


async def test_what_was_used_before_counts_towards_max_duration(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("runaway", max_duration_ms=60_000, usage_ms=59_900))
    assert done["outcome"] == "timed_out"


async def test_code_that_swallows_everything_is_killed_at_max_duration(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("stubborn", max_duration_ms=200))
    assert done["outcome"] == "timed_out"
    assert done["error"]["code"] == "MAX_DURATION_EXCEEDED"
    assert done["usage_ms"] >= 200


async def test_cancel_interrupts_a_plain_function(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start("runaway")
    await bench.line("running")
    bench.say("cancel", run, reason="cancelled")
    assert (await bench.end(run))["outcome"] == "cancelled"


async def test_cancel_kills_code_that_does_not_listen(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start("stubborn")
    await bench.line("running")
    bench.say("cancel", run, reason="cancelled")
    assert (await bench.end(run))["outcome"] == "cancelled"


async def test_cancel_ends_a_coroutine(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start("patient", 1000)
    await bench.line("running")
    bench.say("cancel", run, reason="cancelled")
    assert (await bench.end(run))["outcome"] == "cancelled"


async def test_a_program_started_by_a_task_dies_with_the_run(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start("starts-program")
    await bench.until(lambda: any(line.startswith("program ") for line in bench.lines()))
    (line,) = (line for line in bench.lines() if line.startswith("program "))
    bench.say("cancel", run, reason="cancelled")
    await bench.end(run)
    wait_dead(int(line.split()[1]))


async def test_the_way_a_process_died_is_told(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    expected = {
        (11, 0): "TASK_PROCESS_SIGSEGV",
        (9, 0): "TASK_PROCESS_MAYBE_OOM_KILLED",
        (0, 3): "TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE",
        (0, 0): "TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE",
    }
    runs = {bench.start("dies", {"signal": s, "code": c}): code for (s, c), code in expected.items()}
    for run, code in runs.items():
        done = await bench.end(run)
        assert (done["outcome"], done["error"]["code"]) == ("crashed", code)


async def test_other_runs_go_on_when_a_process_dies(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    await bench.end(bench.start("dies", {"signal": 11, "code": 0}))
    assert await bench.output("pid") > 0
    assert await bench.output("quick", "ok") == "ok"


async def test_a_lone_coroutine_that_kills_its_process_has_crashed(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("poison"))
    assert (done["outcome"], done["error"]["code"]) == ("crashed", "TASK_PROCESS_SIGSEGV")


async def test_a_run_that_came_to_a_dead_process_is_not_blamed(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench, Limits(spares=0))
    process = await bench.output("pid")
    os.kill(process, 9)
    run = bench.start("pid")  # its idle process was killed before, and nobody here knows yet
    assert (await bench.end(run))["outcome"] == "lost"
    bench.start("pid", run=run, token=2)
    assert (await bench.end(run, 2))["outcome"] == "ok"


async def test_the_poison_is_found_and_the_others_are_undisturbed(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    others = [bench.start("patient", 0.2) for _ in range(10)]
    await bench.until(lambda: bench.lines().count("running") == 10)
    poison = bench.start("poison")
    for run in [*others, poison]:
        assert (await bench.end(run))["outcome"] == "lost"
    for run in [*others, poison]:
        bench.start("poison" if run == poison else "patient", 0.01, run=run, token=2)
    for run in others:
        assert (await bench.end(run, 2))["outcome"] == "ok"
    assert (await bench.end(poison, 2))["outcome"] == "crashed"


async def test_many_suspects_are_divided_until_the_poison_is_alone(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench, Limits(solo=2))
    runs = {bench.start("patient", 1000): "patient" for _ in range(9)}
    await bench.until(lambda: bench.lines().count("running") == 9)
    runs[bench.start("poison")] = "poison"
    ends: dict[str, str] = {}
    for run, task in runs.items():
        token = 1
        while (outcome := (await bench.end(run, token))["outcome"]) == "lost":
            token += 1
            bench.start(task, 0, run=run, token=token)
        ends[run] = outcome
        assert token <= 6  # nobody is divided for ever
    assert list(ends.values()) == ["ok"] * 9 + ["crashed"]
    assert bench.supervisor.capacity()["async"] == Limits().async_slots


async def test_one_that_has_crashed_stays_alone(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    poison = bench.start("poison")
    assert (await bench.end(poison))["outcome"] == "crashed"
    other = bench.start("patient", 0.1)
    await bench.line("running")
    bench.start("poison", run=poison, token=2)
    assert (await bench.end(poison, 2))["outcome"] == "crashed"
    assert (await bench.end(other))["outcome"] == "ok"


async def test_a_blocked_loop_is_named_and_new_runs_do_not_wait_for_it(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start("blocker", 2.5)
    event = await bench.event("blocked")
    assert event.data["task"] == "blocker"
    assert event.data["run"] == run
    assert event.data["location"].startswith("trigger/tasks.py:")
    assert "time.sleep(payload)" in event.message
    assert await bench.output("quick", 7) == 7
    assert (await bench.end(run))["outcome"] == "ok", "blocking is reported, not punished"


async def test_a_loop_blocked_beyond_max_duration_is_ended(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    done = await bench.end(bench.start("blocker", 1000, max_duration_ms=1200))
    assert done["outcome"] == "timed_out"
    assert done["error"]["code"] == "MAX_DURATION_EXCEEDED"
    assert await bench.output("quick", 1) == 1


async def test_time_in_which_another_run_blocks_the_loop_is_not_counted(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench)
    innocent = bench.start("patient", 2, max_duration_ms=4000)
    await bench.line("running")
    blocker = bench.start("blocker", 5)
    assert (await bench.end(blocker))["outcome"] == "ok"
    done = await bench.end(innocent)
    assert done["outcome"] == "ok", done
    assert done["usage_ms"] < 4000


async def test_a_process_is_used_again_and_replaced_after_many_runs(
    project: Project, start_bench: StartBench
) -> None:
    bench = await bench_with(project, start_bench, Limits(executions=3, spares=1, idle=4))
    pids = [await bench.output("pid") for _ in range(12)]
    assert len(set(pids)) >= 4
    assert any(pids.count(pid) == 3 for pid in pids)
    assert os.getpid() not in pids


async def test_an_unknown_task_fails_by_name(project: Project, start_bench: StartBench) -> None:
    bench = await bench_with(project, start_bench)
    run = bench.start("never-defined")
    for token in (2, 3):  # it may have been given out while another version was current
        assert (await bench.end(run, token - 1))["outcome"] == "lost"
        bench.start("never-defined", run=run, token=token)
    done = await bench.end(run, 3)
    assert done["outcome"] == "failed"
    assert "never-defined" in done["error"]["message"]
