"""A server is stopped (SIGSTOP) beyond its lease, another has its runs, then it continues (SIGCONT)."""

import asyncio
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.dev.kit import PROJECTS, Dev
from tests.reliability import ledger
from tests.reliability.database import Database
from tests.reliability.ledger import Entry
from tests.reliability.scenario import Plan, Report, Scenario
from tests.reliability.servers import Servers, send
from triggerdev.dev.folder import StateFolder
from triggerdev.engine.leases import Leases

_ZOMBIES, _KILLS = (5, 100), (2, 20)
_TASKS = ("writes", "writes-sync", "ends", "ends-sync", "steps", "waits", "asks", "asks-sync")
_WRITES = ("line", "child", "metadata", "tag", "step", "end")
_LEASE, _HEARTBEAT = 1.0, 0.3
_SLOW_MACHINE = 10.0
_LONGEST_AFTER = 0.7
_PATIENCE = 60.0
_OPEN = ("EXECUTING", "WAITING_TO_RESUME")
_FEWEST, _FEWEST_STOPS = 3, 2
_MARK = re.compile(r"\b[0-9a-f]{16}\b")


@dataclass(slots=True)
class _Stop:
    """What a server held when it was stopped, by the database: the token of each run, and which executed."""

    at: int
    held: dict[str, int]
    executing: set[str]


@dataclass(slots=True)
class _Place:
    """Two servers, and what was done to them."""

    servers: Servers
    url: str
    chance: random.Random
    devs: list[Dev] = field(default_factory=list)
    stops: list[_Stop] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def query(self, text: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.url, options="-csearch_path=triggerdev") as connection:
            return connection.execute(text.encode(), values or None).fetchall()

    def holds(self, number: int) -> dict[str, tuple[int, bool]]:
        """Tell which runs a server has by the database: their token, and if they execute."""
        name = StateFolder(self.servers.projects[number]).worker_name()
        found = self.query("SELECT id, token, status FROM runs WHERE worker = %s", name)
        return {run: (token, status == "EXECUTING") for run, token, status in found if status in _OPEN}


def run(plan: Plan) -> Report:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Report:
    report, project, database = Report(), PROJECTS / "zombies", Database("postgres", plan.folder)
    servers = Servers(plan.folder, project, 2, database, lease=_LEASE, heartbeat=_HEARTBEAT)
    place = _Place(servers, database.url, random.Random(plan.seed))
    try:
        async with AsyncExitStack() as stack:
            place.devs = [await stack.enter_async_context(servers.serving(number)) for number in range(2)]
            while _count_zombies(place) < plan.pick(*_ZOMBIES) or len(place.stops) < _FEWEST_STOPS:
                await _stop_and_continue(place, len(place.stops))
            deaths = [await _kill_worker(place) for _ in range(plan.pick(*_KILLS))]
            await _until(lambda: place.query(_ANY_OPEN) == [(0,)])
        _conclude(place, report)
        report.figures["workers killed"] = len(deaths)
        name = "seconds from a worker's death to the next start of its run, longest"
        report.at_most(name, round(max(deaths), 2), 1.0)
        if plan.tier == "long":
            await _wait_for_default_lease(plan, database, report)
    finally:
        database.drop()
    return report


def _count_zombies(place: _Place) -> int:
    return sum(len(stop.held) for stop in place.stops)


async def _stop_and_continue(place: _Place, number: int) -> None:
    """Stop one server, all of its processes or only the first, until the other has what it had."""
    victim = number // 2 % 2
    dev, api = place.devs[victim], place.devs[victim].api()
    while sum(executes for _, executes in place.holds(victim).values()) < _FEWEST:  # the other may be faster
        for task in place.chance.sample(_TASKS, len(_TASKS)):
            await api.trigger(task, {"number": number})
        await asyncio.sleep(0.2 + place.chance.random())
    pids = dev.pids() if number % 2 == 0 else {dev.process.pid}
    send(pids, signal.SIGSTOP)
    try:
        await _until(lambda: all(map(_is_stopped, pids)))
        stop, began = _note_stop(place, victim), time.monotonic()
        await _until(lambda: _go_on(place, stop, victim))
        place.seconds.append(time.monotonic() - began)
        await asyncio.sleep(_LONGEST_AFTER * place.chance.random() * (number % 3))
    finally:
        send(pids, signal.SIGCONT)
    await _until(lambda: place.query(_LEASES) == [(2,)])  # it has begun anew
    await _until(lambda: place.query(_ANY_OPEN) == [(0,)])


_LEASES = "SELECT count(*) FROM workers WHERE lease_until > 0"
_ANY_OPEN = (
    "SELECT count(*) FROM runs WHERE status NOT IN ('COMPLETED_SUCCESSFULLY', 'COMPLETED_WITH_ERRORS')"
)


def _note_stop(place: _Place, victim: int) -> _Stop:
    found = place.holds(victim)
    stop = _Stop(
        time.monotonic_ns(),
        {run: token for run, (token, _) in found.items()},
        {run for run, (_, executes) in found.items() if executes},
    )
    place.stops.append(stop)
    return stop


def _go_on(place: _Place, stop: _Stop, victim: int) -> bool:
    """Tell if every run that executed has been given to the other server; those that wait come later."""
    if place.holds(victim).keys() & stop.held.keys():
        return False
    tokens = dict(place.query("SELECT id, token FROM runs WHERE id = ANY(%s)", list(stop.held)))
    return all(tokens[run] > stop.held[run] for run in stop.executing)


def _is_stopped(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state in "TtZX"
    except OSError:
        return True


async def _until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not await asyncio.to_thread(check):
            await asyncio.sleep(0.05)


async def _kill_worker(place: _Place) -> float:
    """Kill the process of a run; gives the seconds until the run's code begins again."""
    begun = await _begin(place.servers, place.devs[0])
    killed = time.monotonic_ns()
    os.kill(begun.pid, signal.SIGKILL)
    again = await _begins(place.servers, begun.run, 2)
    return (again.at - killed) / 1e9


async def _wait_for_default_lease(plan: Plan, database: Database, report: Report) -> None:
    """Kill a server for good, with the lease that everybody has who chooses none."""
    default = Leases()
    folder = plan.folder / "default"
    folder.mkdir()
    servers = Servers(
        folder, PROJECTS / "zombies", 2, database, lease=default.length, heartbeat=default.heartbeat
    )
    async with servers.serving(0) as first, servers.serving(1):
        begun = await _begin(servers, first)
        while begun.pid not in first.pids():  # the other one was faster
            begun = await _begin(servers, first)
        killed = time.monotonic_ns()
        await first.kill()
        again = await _begins(servers, begun.run, 2)
    took = round((again.at - killed) / 1e9, 1)
    report.at_most("seconds until runs go on after a server's death, default lease", took, 35)


async def _begin(servers: Servers, dev: Dev) -> Entry:
    """Trigger a run; gives what its code writes first."""
    return await _begins(servers, await dev.api().trigger("ends"), 1)


async def _begins(servers: Servers, run: str, count: int) -> Entry:
    """Wait until the code of a run has begun so many times; gives the last."""
    found: list[Entry] = []

    def begins() -> bool:
        lines = ledger.read(servers.ledger)
        found[:] = [each for each in lines if (each.run, each.what) == (run, "begin")]
        return len(found) >= count

    await _until(begins)
    return found[count - 1]


def _conclude(place: _Place, report: Report) -> None:
    entries = ledger.read(place.servers.ledger)
    stored = _stored_marks(place)
    tried = [each for stop in place.stops for each in entries if _is_stale(each, stop)]
    kinds = Counter(each.what for each in tried)
    accepted = [each for each in tried if each.detail in stored]
    report.figures["servers stopped and continued"] = len(place.stops)
    report.figures["runs that were taken over from them"] = sum(len(stop.held) for stop in place.stops)
    # a server that is stopped in a transaction holds its locks until another ends that, after a lease's time
    limit = 2 * (_LEASE + _HEARTBEAT) + _SLOW_MACHINE
    report.at_most("seconds until the other had them, longest", round(max(place.seconds), 2), limit)
    for kind in _WRITES:
        report.figures[f"tried by zombies: {kind}"] = kinds[kind]
    report.must_be("accepted of that", len(accepted), 0)
    report.failures += [f"accepted: {each.text()}" for each in accepted[:3]]
    if not tried:
        report.failures.append("no zombie tried to write anything, so nothing was shown")
    query = (
        "SELECT payload::json->>'key' FROM runs WHERE parent_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    )
    report.must_be("children triggered twice", len(place.query(query)), 0)
    still = [run for stop in place.stops for run in stop.held if not _has_moved(place, run, stop)]
    report.must_be("runs that ended under the token that was taken from them", len(still), 0)
    report.must_be("runs that did not complete", len(_incomplete(place)), 0)
    report.must_be("outputs of another execution than the last", _count_foreign_ends(place, entries), 0)


def _is_stale(entry: Entry, stop: _Stop) -> bool:
    """Tell if something was tried under a token that was taken away."""
    token = stop.held.get(entry.run)
    return entry.what in _WRITES and entry.at > stop.at and token is not None and entry.token <= token


def _stored_marks(place: _Place) -> set[str]:
    """Find all marks that are anywhere in the database."""
    texts = place.query("SELECT concat_ws(' ', payload, output, metadata, tags) FROM runs")
    texts += place.query("SELECT message FROM logs") + place.query("SELECT coalesce(result, '') FROM ops")
    return {mark for (text,) in texts for mark in _MARK.findall(str(text))}


def _has_moved(place: _Place, run: str, stop: _Stop) -> bool:
    return bool(place.query("SELECT token FROM runs WHERE id = %s AND token > %s", run, stop.held[run]))


def _incomplete(place: _Place) -> list[Any]:
    return place.query("SELECT id, status FROM runs WHERE status <> 'COMPLETED_SUCCESSFULLY'")


def _count_foreign_ends(place: _Place, entries: list[Entry]) -> int:
    """Count runs whose output was not made under their last token."""
    ends = {(each.run, each.token): each.detail for each in entries if each.what == "end"}
    query = "SELECT id, token, output::json->>'end' FROM runs WHERE task <> 'child'"
    return sum(ends.get((run, token)) != mark for run, token, mark in place.query(query))


SCENARIO = Scenario(
    name="zombies",
    title="A server that stands still and comes back",
    promise=(
        "When a server is not heard of for longer than its lease, its runs go on at another one. If it only"
        " stood still, nothing that its copies write afterwards is accepted: no result, line, child, tag or"
        " metadata."
    ),
    stores=("postgres",),
    run=run,
)
