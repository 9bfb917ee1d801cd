"""A project under load in a real `trigger dev`, whose processes others kill while it works."""

import asyncio
import random
import shutil
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

from tests.dev.kit import Dev, start
from tests.reliability import checks, ledger, mix
from tests.reliability.database import Database
from tests.reliability.load import Load
from tests.reliability.scenario import Plan, Report

CLIENTS = 60
CALM_RUNS = 100
_CALM_SECONDS = (60, 10)  # the short tier shares its machine with other tests
_CALM_TASKS = ("leaf", "leaf-sync", "triggers", "nested", "limited-two", "computes")
_PATIENCE = 90  # seconds in which at least one run must end
_MAX_PAUSE = 0.05


class Storm:
    """One scenario's project, ledger and database, through all its starts of `trigger dev`."""

    def __init__(self, plan: Plan, *, server_url: str | None = None) -> None:
        """Prepare everything; `server_url` is a PostgreSQL of the scenario's own."""
        self.project = plan.folder / "storm"
        self.ledger = plan.folder / "ledger.txt"
        shutil.copytree(mix.PROJECT, self.project, ignore=shutil.ignore_patterns("__pycache__", ".trigger"))
        self.database = Database(plan.store, self.project, server_url)
        self.load = Load()
        self.calm_seconds = plan.pick(*_CALM_SECONDS)
        self._devs: list[Dev] = []
        self._port = free_port()

    @asynccontextmanager
    async def serving(
        self, *, ready: bool = True, more: Mapping[str, str] | None = None
    ) -> AsyncIterator[Dev]:
        """Run `trigger dev`, at the same address each time; `more` is for its environment."""
        env = {ledger.VARIABLE: str(self.ledger), **self.database.environment, **(more or {})}
        async with start(self.project, "--port", str(self._port), env=env, ready=ready) as dev:
            if not self._devs:
                values = dev.env_file()
                self.load.serve(values["TRIGGER_API_URL"], values["TRIGGER_SECRET_KEY"])
            self.watch(dev)
            yield dev

    def watch(self, dev: Dev) -> None:
        """Let what a server prints count, one that was not started here."""
        self._devs.append(dev)

    def facts(self, *, engine_only: bool = False) -> checks.Facts:
        """Collect everything to check, when nothing runs any more."""
        runs, tokens = self.database.read()
        lines = [line for dev in self._devs for line in dev.lines if line["type"] == "run"]
        return checks.Facts(
            accepted=self.load.accepted,
            entries=ledger.read(self.ledger),
            runs={row.id: row for row in runs},
            tokens=tokens,
            printed=Counter(line["run"] for line in lines if line["event"] == "finished"),
            engine_only=engine_only,
        )

    async def close(self) -> None:
        await self.load.close()
        self.database.drop()


def free_port() -> int:
    """Find a port that no client is given: one that calls in vain could get that of its server."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port


async def unless_stuck(load: Load, work: Awaitable[None], report: Report) -> None:
    """Let something work as long as runs end; note a failure when none has ended for a long time."""
    task = asyncio.ensure_future(work)
    ended = -1
    while not task.done() and load.finished > ended:
        if ended >= 0:
            print(f"   so far {load.finished} runs have ended", flush=True)
        ended = load.finished
        await asyncio.wait({task}, timeout=_PATIENCE)
    if task.done():
        task.result()
        return
    task.cancel()
    await asyncio.wait({task})
    report.failures.append(f"stuck: of {len(load.accepted)} accepted runs only {load.finished} have ended")


async def finish(storm: Storm, report: Report, chance: random.Random) -> None:
    """After the last fault: count how soon the next runs end, then wait until none is left."""
    if report.failures:
        return
    began = time.monotonic()
    orders = [
        mix.order(_CALM_TASKS[number % len(_CALM_TASKS)], f"calm-{number}", chance)
        for number in range(CALM_RUNS)
    ]
    await unless_stuck(storm.load, storm.load.run(orders, CALM_RUNS), report)
    if report.failures:
        return
    took = round(time.monotonic() - began, 1)
    report.at_most(f"seconds until the next {CALM_RUNS} runs had ended", took, storm.calm_seconds)
    try:
        await asyncio.wait_for(storm.load.drain(), _PATIENCE)
    except TimeoutError:
        pass  # what is left counts as lost


async def moments(load: Load, kills: int, runs: int, chance: random.Random) -> AsyncIterator[int]:
    """Give the moments to kill: one at a random time in each of as many equal parts of the load.

    The load's progress is what counts the time, so that the moments of a seed are spread over all of it on
    any machine.
    """
    part = runs / kills
    for number in range(kills):
        await load.until(int(part * (number + 0.9 * chance.random())))
        await asyncio.sleep(_MAX_PAUSE * chance.random())
        yield number


def conclude(storm: Storm, report: Report, *, engine_only: bool = False) -> None:
    """Check everything, and write down what there was to check."""
    facts = storm.facts(engine_only=engine_only)
    report.figures["runs accepted over HTTP"] = len(storm.load.accepted)
    report.figures["runs, with their descendants"] = len(facts.runs)
    report.figures["requests repeated"] = storm.load.repeated
    report.figures["lines in the ledger"] = len(facts.entries)
    plain, other = checks.count_used_up(facts)
    report.figures["attempts of plain functions used up by kills"] = plain
    report.figures["attempts of async functions used up by kills"] = other
    took = checks.recoveries(facts)
    report.figures["executions killed between two lines"] = len(took)
    if took:
        report.figures["of these, half went on within ms"] = round(took[len(took) // 2])
        report.figures["of these, 99 of 100 went on within ms"] = round(took[len(took) * 99 // 100])
    checks.check(facts, report)
