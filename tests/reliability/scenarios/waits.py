"""Thousands of runs in a long wait: they are evicted, everything is killed, and each goes on in time."""

import asyncio
import os
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing, suppress
from pathlib import Path

from tests.dev.kit import Api, Dev, gone, start
from tests.reliability import ledger
from tests.reliability.scenario import Plan, Report, Scenario
from triggerdev.engine.model import Status

TASKS = """
from tests.reliability.ledger import note
from triggerdev import Context, task, wait

@task(id="sleeper")
async def sleeper(payload: dict, ctx: Context):
    note(ctx, "begin")
    try:
        await wait.for_(seconds=payload["seconds"])
    except BaseException:
        note(ctx, "evicted")
        raise
    note(ctx, "woken")

@task(id="plain-sleeper")
def plain_sleeper(payload: dict, ctx: Context):
    note(ctx, "begin")
    wait.sync.for_(seconds=payload["seconds"])

@task(id="warm-up")
async def warm_up():
    return "warm"

@task(id="plain-warm-up")
def plain_warm_up():
    return "warm"
"""
CONFIG = 'project = "waits"\n[dev]\nevict_after = {evict_after}\n'
_CLIENTS = 16
_LOOK_SECONDS = 0.5
_PATIENCE = 240
_PSS = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)
_STATUSES = "SELECT status, count(*) FROM runs WHERE task LIKE '%sleeper' GROUP BY status"
_MB = 1024 * 1024
_MAX_GROWTH_MB = 100
_MAX_LATE = {"short": 20.0, "long": 1.0}  # the short tier runs beside others


def run(plan: Plan) -> Report:
    report = Report()
    asyncio.run(_evicted(plan, report))
    asyncio.run(_parked(plan, report))
    return report


async def _evicted(plan: Plan, report: Report) -> None:
    count, seconds = plan.pick(500, 10_000), plan.pick(4, 120)
    project = _Project(plan.folder / "evicted", evict_after=plan.pick(1, 60))
    async with project.serving() as dev:
        idle = await _warm_up(dev)
        began = time.monotonic()
        await _trigger(dev.api(), count, seconds)
        report.figures["runs"] = count
        report.figures["seconds to trigger them"] = round(time.monotonic() - began, 1)
        await _until("all are evicted", lambda: project.count("evicted") >= count)
        growth = (_memory(dev) - idle) / _MB
        report.figures["MB of everything, idle"] = round(idle / _MB, 1)
        report.at_most("MB more with all of them evicted", round(growth, 1), _MAX_GROWTH_MB)
        await _kill_everything(dev)
    async with project.serving() as dev:
        again = time.monotonic_ns()
        await _until("all went on", lambda: project.count("woken") >= count)
        await _until("all are completed", lambda: project.statuses()[Status.COMPLETED] >= count)
    _check_times(project, plan, report, count, seconds, again)
    report.must_be("runs completed", project.statuses()[Status.COMPLETED], count)


def _check_times(
    project: "_Project", plan: Plan, report: Report, count: int, seconds: int, again: int
) -> None:
    """Compare when each run went on with when it should have, or when everything was up again."""
    begun: dict[str, int] = {}
    woken: dict[str, list[int]] = {}
    for entry in ledger.read(project.ledger):
        if entry.what == "begin":
            begun.setdefault(entry.run, entry.at)
        elif entry.what == "woken":
            woken.setdefault(entry.run, []).append(entry.at)
    due = {run: at + seconds * 10**9 for run, at in begun.items()}
    late = sorted((times[0] - max(due[run], again)) / 10**9 for run, times in woken.items())
    report.must_be("runs that went on", len(woken), count)
    report.must_be("went on twice", sum(_went_on_twice(times, again) for times in woken.values()), 0)
    report.must_be("went on early", sum(times[0] < due[run] for run, times in woken.items()), 0)
    report.figures["due within a second, at most"] = _densest(sorted(due.values()))
    report.figures["seconds late, median"] = round(late[len(late) // 2], 3)
    report.figures["seconds late, 99 of 100"] = round(late[len(late) * 99 // 100], 3)
    report.at_most("seconds late, at most", round(late[-1], 3), _MAX_LATE[plan.tier])


def _went_on_twice(times: list[int], again: int) -> bool:
    """Tell whether a run went on twice between kills.

    One that went on before the kill, on a slow machine, does so once more if its end was not stored by then.
    """
    return max(Counter(at >= again for at in times).values()) > 1


def _densest(times: list[int]) -> int:
    """Count how many of the sorted times (ns) lie within one second at most."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] > 10**9:
            first += 1
        most = max(most, last - first + 1)
    return most


async def _parked(plan: Plan, report: Report) -> None:
    """Park runs for good, coroutines first, then plain functions, and see what each of them costs."""
    count, plain_count = plan.pick(100, 1_000), plan.pick(5, 40)
    project = _Project(plan.folder / "parked", evict_after=0)
    async with project.serving() as dev:
        idle = await _warm_up(dev)
        await _trigger(dev.api(), count, 3600)
        await _until("all wait", lambda: project.statuses()[Status.WAITING] >= count)
        parked = _memory(dev)
        report.figures["KB for each coroutine, parked"] = round((parked - idle) / count / 1024, 1)
        await _trigger(dev.api(), plain_count, 3600, task="plain-sleeper")
        await _until("all wait", lambda: project.statuses()[Status.WAITING] >= count + plain_count)
        each = (_memory(dev) - parked) / plain_count
        report.figures["MB for each plain function, parked"] = round(each / _MB, 1)
        report.must_be("evicted although that is switched off", project.count("evicted"), 0)
        await _kill_everything(dev)


class _Project:
    """A folder with one task, a ledger and a database."""

    def __init__(self, root: Path, evict_after: int) -> None:
        self.root = root
        self.ledger = root / "ledger.txt"
        (root / "trigger").mkdir(parents=True)
        (root / "trigger" / "tasks.py").write_text(TASKS, encoding="utf-8")
        (root / "trigger.config.toml").write_text(CONFIG.format(evict_after=evict_after), encoding="utf-8")

    def serving(self) -> AbstractAsyncContextManager[Dev]:
        return start(self.root, env={ledger.VARIABLE: str(self.ledger)})

    def count(self, what: str) -> int:
        """Count how often runs have written something."""
        return self.ledger.read_bytes().count(f" {what} ".encode()) if self.ledger.exists() else 0

    def statuses(self) -> Counter[str]:
        """Count the runs in each status, from the database."""
        path = self.root / ".trigger" / "engine.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return Counter(dict(database.execute(_STATUSES)))


async def _warm_up(dev: Dev) -> int:
    """Run some, so that everything there will be is there; gives the bytes in use when idle."""
    api = dev.api()
    await asyncio.gather(*(api.output(name) for name in ["warm-up", "plain-warm-up"] * 10))
    return _memory(dev)


async def _trigger(api: Api, count: int, seconds: int, task: str = "sleeper") -> None:
    numbers = iter(range(count))

    async def client() -> None:
        for _ in numbers:
            await api.trigger(task, {"seconds": seconds})

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))


async def _until(what: str, condition: Callable[[], bool]) -> None:
    """Look at what has been written until it is as wanted."""
    try:
        async with asyncio.timeout(_PATIENCE):
            while not condition():
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {_PATIENCE} s: {what}") from None


async def _kill_everything(dev: Dev) -> None:
    pids = dev.pids()
    for pid in pids:
        with suppress(ProcessLookupError):  # some end with their parent
            os.kill(pid, signal.SIGKILL)
    await dev.process.wait()
    gone(pids)


def _memory(dev: Dev) -> int:
    """Add up the bytes of all processes; what they share is divided among them."""
    return sum(_share_of(pid) for pid in dev.pids())


def _share_of(pid: int) -> int:
    try:
        match = _PSS.search((Path("/proc") / str(pid) / "smaps_rollup").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has just ended
    return int(match[1]) * 1024 if match else 0


SCENARIO = Scenario(
    name="waits",
    title="Thousands of runs that wait",
    promise=(
        "Runs in a long wait are evicted and cost next to no memory. A kill -9 of everything meanwhile"
        " changes nothing: each goes on within a second of its time, never early, and once."
    ),
    stores=("sqlite",),
    run=run,
)
