"""A real `trigger dev` under load that dies at one point after the other, and is started again each time."""

import asyncio
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.reliability import checks, ledger, mix, storm
from tests.reliability.crashing import points
from tests.reliability.ledger import Entry
from tests.reliability.scenario import Plan, Report
from tests.reliability.storm import Storm

CLIENTS = 20
ITEMS = 12
_WAVE = 60
_PATIENCE = 150  # seconds in which a point must be reached
_LOOK = 0.02
_RELOAD_EVERY = 0.5
_USED_UP = "attempts used up without a reason"

Action = Callable[[], Awaitable[None]]


async def run(plan: Plan, hits: tuple[int, ...], report: Report) -> set[str]:
    """Die at every point that an engine alone does not have; gives those that were reached."""
    chain = Chain(plan)
    try:
        async with chain.load():
            for nth in hits:
                for group in _groups(plan):
                    await chain.hit_children(group, nth)
                for name in points.of_main():
                    await chain.hit_main(name, nth)
            await chain.come_to_rest(report)
        chain.check(report)
    finally:
        await chain.place.close()
    return chain.reached


def _groups(plan: Plan) -> list[list[str]]:
    """Arm the points of worker, version and template processes together, or in the long tier each alone.

    Those that are reached while code is loaded stay apart: it is loaded again after one death, not after two.
    """
    names = points.of_children()
    if plan.tier == "long":
        return [[name] for name in names]
    alone = [name for name in names if name == "version.imported"]
    return [[name for name in names if name not in alone], alone]


class Chain:
    """The project, its load, and what was hit in it."""

    def __init__(self, plan: Plan) -> None:
        self.place = Storm(plan)
        self.calls = Calls(self.place)
        self.reached: set[str] = set()
        self.missed: list[str] = []
        self.children = self.mains = 0
        self._folder = plan.folder / "points"
        self._seed = plan.seed
        self._is_over = False
        self._is_served = asyncio.Event()
        self._starts = itertools.count()
        self._acting: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Trigger runs of all kinds, and follow them, until the end of a with block."""
        load = asyncio.create_task(self._load())
        self._acting.append(load)
        try:
            yield
        finally:
            for task in self._acting:
                task.cancel()

    async def _load(self) -> None:
        await self._is_served.wait()
        for number in itertools.count():
            if self._is_over:
                return
            await self.place.load.run(mix.orders(self._seed + number, _WAVE), CLIENTS)

    async def come_to_rest(self, report: Report) -> None:
        """Let everything come to its end with nothing armed."""
        self._is_over = True

        async def rest() -> None:
            await asyncio.gather(*self._acting)
            await self.place.load.drain()

        async with self.place.serving():
            await storm.unless_stuck(self.place.load, rest(), report)

    # -- hitting

    async def hit_children(self, names: list[str], nth: int) -> None:
        """Have processes below the main one die, each at its point, while that one goes on."""
        folder = self._arm()
        async with self.place.serving(more=_environment(names, nth, folder)) as dev:
            self._is_served.set()
            reloading = asyncio.create_task(self._repeat(self._reload))
            await self._within(lambda: all(len(_lines(folder, name)) >= nth for name in names))
            reloading.cancel()
            for name in names:
                pid = self._hit(name, nth, folder)
                if pid in (None, dev.process.pid) or dev.process.returncode is not None:
                    self.missed.append(f"{name}, hit {nth}: {len(_lines(folder, name))} times, pid {pid}")
                else:
                    self.children += 1
            finished = self.place.load.finished
            await self._within(lambda: self.place.load.finished > finished)
        self._note(time.monotonic_ns(), dev.process.pid, ledger.KILLED_ALL)  # stopped, to be exact

    async def hit_main(self, name: str, nth: int) -> None:
        """Have the main process die at a point."""
        folder = self._arm()
        action = self.calls.to_reach(name) or self._reload
        async with self.place.serving(ready=False, more=_environment([name], nth, folder)) as dev:
            acting = asyncio.create_task(self._repeat(action, lambda: dev.process.returncode is None))
            self._acting.append(acting)
            await self._within(lambda: dev.process.returncode is not None)
            pid = self._hit(name, nth, folder)
            if pid != dev.process.pid or dev.process.returncode != -signal.SIGKILL:
                self.missed.append(
                    f"{name}, hit {nth}: pid {pid}, exit {dev.process.returncode}: {dev.errors}"
                )
            else:
                self.mains += 1

    def _arm(self) -> Path:
        folder = self._folder / str(next(self._starts))
        folder.mkdir(parents=True)
        return folder

    def _hit(self, name: str, nth: int, folder: Path) -> int | None:
        """Write the death at a point into the ledger; gives whose it was."""
        lines = _lines(folder, name)
        if len(lines) < nth:
            return None
        pid, at = map(int, lines[nth - 1].split())
        what = ledger.KILLED if name.startswith("worker.") else ledger.KILLED_ALL
        self._note(at, pid, what)
        self.reached.add(name)
        return pid

    def _note(self, at: int, pid: int, what: str) -> None:
        with self.place.ledger.open("a", encoding="utf-8") as file:
            file.write(Entry(at, 0, pid, "-", 0, 0, what).text())

    async def _within(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened, but not for ever; what works beside must not have failed."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not happened():
                    for task in self._acting:
                        if task.done():
                            task.result()
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            pass  # the caller sees that it has not

    async def _repeat(self, action: Action, go_on: Callable[[], bool] = lambda: True) -> None:
        while go_on():
            await action()

    async def _reload(self) -> None:
        """Save a file of the project: what waits leaves the old version's processes."""
        with (self.place.project / "trigger" / "leaves.py").open("a", encoding="utf-8") as file:
            file.write("# saved again\n")
        await asyncio.sleep(_RELOAD_EVERY)

    # -- counting

    def check(self, report: Report) -> None:
        report.figures["processes of trigger dev killed at a point: the main one"] = self.mains
        report.figures["processes of trigger dev killed at a point: below it"] = self.children
        report.failures += [f"not hit: {text}" for text in self.missed]
        facts = self.place.facts()
        report.failures += list(self.calls.find_broken(facts))
        report.figures["runs, with their descendants"] = len(facts.runs)
        self._count(facts, report)

    def _count(self, facts: checks.Facts, report: Report) -> None:
        """Check everything; a death before the code has written a line may cost an attempt, untraced."""
        found = Report()
        checks.check(facts, found)
        used_up = int(found.figures.pop(_USED_UP))
        report.figures |= found.figures
        report.at_most("attempts used up by deaths before a line was written", used_up, self.children)
        report.failures += [text for text in found.failures if not text.startswith(_USED_UP)]


class Calls:
    """What is asked for over HTTP besides triggering, again and again until it is answered."""

    def __init__(self, place: Storm) -> None:
        self._load = place.load
        self._numbers = itertools.count()
        self._batches: list[str] = []
        self._cancelled: list[str] = []
        self._tokens: list[str] = []

    def to_reach(self, point: str) -> Action | None:
        """Choose the call that comes to a point of the server."""
        calls = {
            "server.batch_stored": self._batch,
            "server.item_read": self._batch,
            "server.items_stored": self._batch,
            "server.token_stored": self._token,
            "server.cancel_stored": self._cancel,
        }
        return calls.get(point)

    async def _batch(self) -> None:
        key = f"batch-{next(self._numbers)}"
        body = {"runCount": ITEMS, "idempotencyKey": key}
        made = await self._load._call("POST", "/api/v3/batches", body)
        lines = [
            json.dumps({"index": n, "task": "leaf", "payload": {"n": n, "key": f"{key}-{n}"}})
            for n in range(ITEMS)
        ]
        await self._stream(f"/api/v3/batches/{made['id']}/items", "\n".join(lines))
        self._batches.append(key)

    async def _stream(self, path: str, text: str) -> None:
        while True:
            try:
                headers = {"Content-Type": "application/x-ndjson"}
                answer = await self._load._http.post(path, content=text.encode(), headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(_LOOK)
                continue
            assert answer.is_success, answer.text
            return

    async def _token(self) -> None:
        key = f"token-{next(self._numbers)}"
        made = await self._load._call("POST", "/api/v1/waitpoints/tokens", {"idempotencyKey": key})
        await self._load._call("POST", f"/api/v1/waitpoints/tokens/{made['id']}/complete", {"data": 7})
        self._tokens.append(made["id"])

    async def _cancel(self) -> None:
        key = f"cancel-{next(self._numbers)}"
        body = {"payload": {"n": 1, "key": key}, "options": {"delay": "1h", "idempotencyKey": key}}
        made = await self._load._call("POST", "/api/v1/tasks/leaf/trigger", body)
        await self._load._call("POST", f"/api/v2/runs/{made['id']}/cancel")
        self._cancelled.append(made["id"])

    def find_broken(self, facts: checks.Facts) -> list[str]:
        """List what was answered and is not so; cancelled runs are taken out of the facts."""
        ended: dict[str, Any] = {run: facts.runs.pop(run).status for run in self._cancelled}
        problems = [
            f"run {run} was cancelled and is {end}" for run, end in ended.items() if end != "CANCELED"
        ]
        found = {row.payload.get("key") for row in facts.runs.values()}
        wanted = {f"{key}-{n}" for key in self._batches for n in range(ITEMS)}
        problems += [f"item {key} was accepted, and has no run" for key in wanted - found]
        completed = {token.id for token in facts.tokens if token.status == "COMPLETED"}
        return problems + [f"token {each} is not completed" for each in self._tokens if each not in completed]


def _environment(names: list[str], nth: int, folder: Path) -> dict[str, str]:
    return {
        "TRIGGER_CRASH": ",".join(f"{name}:{nth}" for name in names),
        "TRIGGER_CRASH_FOLDER": str(folder),
    }


def _lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
