"""kill -9 of `trigger dev` with 100,000 runs in its database: how soon the next one serves and executes."""

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.dev.kit import Dev, gone, start
from tests.reliability import ledger
from tests.reliability.database import Database
from tests.reliability.filling import fill
from tests.reliability.scenario import Figure, Plan, Report, Scenario
from triggerdev.engine.model import Status
from triggerdev.engine.store import open_store

TASKS = """
import asyncio
import os
from tests.reliability.ledger import note
from triggerdev import Context, queue, task, wait

one_at_a_time = queue(name="narrow", concurrency_limit=1)

@task(id="quick")
async def quick(payload: dict):
    return payload

@task(id="narrow", queue=one_at_a_time)
async def narrow(payload: dict, ctx: Context):
    note(ctx, "narrow")
    if os.path.exists(os.environ["HOLD"]):
        await asyncio.sleep(86_400)

@task(id="holds")
async def holds(payload: dict, ctx: Context):
    note(ctx, "holds")
    await asyncio.sleep(86_400)

@task(id="waits")
async def waits(payload: dict, ctx: Context):
    note(ctx, "waits")
    await wait.for_(days=1)
"""
CLIENTS = 16
_LOOK_SECONDS = 0.005
_PATIENCE = 60
_MOST = 2.0  # seconds
_LARGEST_LOG = 64.0  # megabytes


@dataclass(slots=True)
class Times:
    """Seconds from the start of the process until the API answered and the first queued run executed."""

    answers: list[float] = field(default_factory=list)
    executes: list[float] = field(default_factory=list)


class Place:
    """One project, its database, and the servers that are started on it one after the other."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.project = plan.folder / name
        self.ledger = plan.folder / f"{name}.ledger"
        self.hold = plan.folder / f"{name}.hold"
        (self.project / "trigger").mkdir(parents=True)
        (self.project / "trigger" / "tasks.py").write_text(TASKS, encoding="utf-8")
        (self.project / "trigger.config.toml").write_text('project = "recovery"\n', encoding="utf-8")
        self.hold.touch()
        self.database = Database(plan.store, self.project)
        self.times = Times()
        self._port = "0"
        self._env = {ledger.VARIABLE: str(self.ledger), "HOLD": str(self.hold), **self.database.environment}

    @property
    def file(self) -> Path:
        return self.project / ".trigger" / "engine.db"

    @property
    def log(self) -> Path:
        return self.project / ".trigger" / "engine.db-wal"

    def entries(self, what: str) -> list[ledger.Entry]:
        return [entry for entry in ledger.read(self.ledger) if entry.what == what]

    @asynccontextmanager
    async def serving(self, *, ready: bool = True) -> AsyncIterator[Dev]:
        """Run a server, at the same port each time, and kill it at the end."""
        async with start(self.project, "--port", self._port, env=self._env, ready=ready) as dev:
            yield dev
            self._port = dev.env_file()["TRIGGER_API_URL"].rsplit(":", 1)[1]
            gone(await dev.kill())

    async def trigger(self, dev: Dev, task: str, count: int) -> None:
        """Trigger a task so many times and wait until all of them have begun."""
        api, left = dev.api(), iter(range(count))

        async def client() -> None:
            for _ in left:
                await api.trigger(task)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await self.began(task, count)

    async def began(self, what: str, count: int) -> ledger.Entry:
        """Wait for the entry of a number; gives it."""
        async with asyncio.timeout(_PATIENCE):
            while len(found := self.entries(what)) < count:
                await asyncio.sleep(_LOOK_SECONDS)
        return found[count - 1]

    async def measure(self, *, triggers: bool) -> None:
        """Start a server and take its times, of a run in its queue, or of one that is triggered at once.

        The run that had the queue's slot when the last server was killed goes on first, and leaves.
        """
        known = {entry.run for entry in self.entries("narrow")}
        self.hold.unlink()
        began = time.monotonic_ns()
        async with self.serving(ready=False) as dev:
            answered = await self._answer()
            if triggers:
                await dev.ready()
                await dev.api().trigger("narrow")
            first = await self._first_new(known)
            self.hold.touch()
            self.times.answers.append((answered - began) / 1e9)
            self.times.executes.append((first.at - began) / 1e9)

    async def _answer(self) -> int:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(_PATIENCE):
            while True:
                try:
                    if (await http.get(f"http://127.0.0.1:{self._port}/healthz")).is_success:
                        return time.monotonic_ns()
                except httpx.TransportError:
                    pass
                await asyncio.sleep(_LOOK_SECONDS)

    async def _first_new(self, known: set[str]) -> ledger.Entry:
        async with asyncio.timeout(_PATIENCE):
            while True:
                for entry in self.entries("narrow"):
                    if entry.run not in known:
                        return entry
                await asyncio.sleep(_LOOK_SECONDS)


def run(plan: Plan) -> Report:
    report = Report()
    asyncio.run(_run(plan, report))
    return report


async def _run(plan: Plan, report: Report) -> None:
    busy = plan.pick(25, 500)
    total = plan.pick(5_000, 100_000)
    full, empty = Place(plan, "full"), Place(plan, "empty")
    try:
        finished, queued = total * 8 // 10, total // 10
        delayed = total - finished - queued - 2 * busy + 1
        full.file.parent.mkdir()
        fill(open_store(full.database.url or full.file), finished, queued, delayed, plan.seed)
        async with full.serving() as dev:
            await full.began("narrow", 1)
            await full.trigger(dev, "waits", busy)
            await full.trigger(dev, "holds", busy - 1)
            await _parked(dev, busy)
            largest = await _press(full, dev, plan.pick(1, 60))
            if plan.store == "sqlite":
                report.at_most("megabytes of the write-ahead log under load, at most", largest, _LARGEST_LOG)
        report.figures |= _counts(full)
        async with empty.serving():
            pass
        for _ in range(plan.pick(1, 7)):
            await full.measure(triggers=False)
            await empty.measure(triggers=True)
        _conclude(plan, report, full, empty)
    finally:
        full.database.drop()
        empty.database.drop()


async def _press(place: Place, dev: Dev, seconds: float) -> float:
    """Keep a server busy writing and reading; gives the largest size of the write-ahead log, in MB."""
    api, largest, end = dev.api(), 0, time.monotonic() + seconds

    async def client() -> None:
        nonlocal largest
        while time.monotonic() < end:
            await api.trigger("quick", {"text": "x" * 2000})
            await api.call("GET", "/api/v1/runs?page[size]=50")
            largest = max(largest, _size(place.log))

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return round(largest / 1e6, 1)


async def _parked(dev: Dev, count: int) -> None:
    """Wait until so many runs wait."""
    api = dev.api()
    async with asyncio.timeout(_PATIENCE):
        seen = 0
        while seen < count:
            seen, after = 0, ""
            while True:
                page = await api.call("GET", f"/api/v1/runs?filter[status]=WAITING&page[size]=100{after}")
                seen += len(page["data"])
                if not page["pagination"].get("next"):
                    break
                after = f"&page[after]={page['pagination']['next']}"


def _counts(place: Place) -> dict[str, Figure]:
    """Count what is in the database while nobody serves it."""
    runs, _ = place.database.read()
    counts = Counter(run.status for run in runs)
    size: dict[str, Figure] = {"megabytes of the database": round(_size(place.file) / 1e6, 1)}
    return {
        "runs in the database": len(runs),
        "of these: finished": counts[Status.COMPLETED],
        "queued or delayed": counts[Status.PENDING] + counts[Status.DELAYED],
        "waiting": counts[Status.WAITING],
        "executing when killed": counts[Status.EXECUTING],
    } | (size if place.file.exists() else {})


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _conclude(plan: Plan, report: Report, full: Place, empty: Place) -> None:
    """Write medians down. In the short tier, beside other tests, only what the runs cost is limited."""
    report.figures["load of the machine, last minute"] = round(os.getloadavg()[0], 1)
    for name, mine, other in (
        ("the API answers", full.times.answers, empty.times.answers),
        ("the first queued run executes", full.times.executes, empty.times.executes),
    ):
        whole, bare = round(statistics.median(mine), 2), round(statistics.median(other), 2)
        is_limited = plan.store == "sqlite"
        title = f"seconds from start until {name} (median of {len(mine)})"
        report.figures[f"{title}, empty database"] = bare
        if is_limited and plan.tier == "long":
            report.at_most(title, whole, _MOST)
        else:
            report.figures[title] = whole
        more = f"seconds more than with an empty one until {name}"
        if is_limited:
            report.at_most(more, round(whole - bare, 2), _MOST)
        else:
            report.figures[more] = round(whole - bare, 2)
        report.figures[f"longest until {name}"] = round(max(mine), 2)


SCENARIO = Scenario(
    name="recovery",
    title="Serving again with 100,000 runs in the database",
    promise="After kill -9 a new `trigger dev` answers, and gives out queued runs, within 2 s (SQLite).",
    stores=("sqlite", "postgres"),
    run=run,
)
