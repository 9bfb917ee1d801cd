"""A worker that completes what it gets, and the book in which all such workers write down what they did."""

import asyncio
from collections import Counter
from typing import Any

from triggerdev.engine.engine import Engine
from triggerdev.engine.model import RunEvent
from triggerdev.protocol import Message


class Ledger:
    """What happened to runs, over all servers of a test."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.started: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.by_worker: Counter[str] = Counter()
        self.executing: set[str] = set()
        self.most_executing = 0
        self._changed = asyncio.Event()

    def watch(self, engine: Engine) -> None:
        engine.listen(self._note)

    def _note(self, event: RunEvent) -> None:
        if event.kind == "finished":
            self.finished[event.run] += 1
            self._changed.set()

    def start(self, run: str, worker: str) -> None:
        self.started[run] += 1
        self.by_worker[worker] += 1
        self.executing.add(run)
        self.most_executing = max(self.most_executing, len(self.executing))

    async def all_finished(self, count: int, seconds: float = 60) -> None:
        """Wait until so many runs have ended."""
        async with asyncio.timeout(seconds):
            while len(self.finished) < count:
                self._changed.clear()
                await self._changed.wait()


class BusyWorker:
    """Completes each run a few turns of the loop after its start."""

    def __init__(self, engine: Engine, name: str, ledger: Ledger, *, room: int = 20, turns: int = 3) -> None:
        self._name, self._ledger, self._turns = name, ledger, turns
        self._room = room
        self._held: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        ledger.watch(engine)
        self._session = engine.connect(name, self._deliver, self._free)

    def _free(self) -> dict[str, int]:
        return {"async": self._room - len(self._held), "sync": 0}

    def _deliver(self, messages: list[Message]) -> None:
        for message in messages:
            if message["t"] == "start":
                self._held.add(message["run"]["id"])
                task = asyncio.create_task(self._execute(message["run"]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _execute(self, run: dict[str, Any]) -> None:
        self._ledger.start(run["id"], self._name)
        for _ in range(self._turns):
            await asyncio.sleep(0)
        self._ledger.executing.discard(run["id"])
        self._held.discard(run["id"])
        done = {"t": "done", "run": run["id"], "token": run["token"], "outcome": "ok", "output": "1"}
        self._session.receive([done])
