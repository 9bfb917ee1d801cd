"""A supervisor under test, with the test in the engine's place."""

import asyncio
import json
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from triggerdev.protocol import Message, WorkerSettings
from triggerdev.worker import processes
from triggerdev.worker.events import Limits, LoadOutcome, SupervisorEvent
from triggerdev.worker.supervisor import Supervisor

PATIENCE = 20.0


class Bench:
    """Starts runs, collects what comes back, and waits for it; nothing here sleeps."""

    def __init__(self, root: Path, limits: Limits | None = None, env: dict[str, str] | None = None) -> None:
        self.root = root
        self.messages: list[Message] = []
        self.events: list[SupervisorEvent] = []
        self._runs = 0
        self._versions = 0
        self._changed = asyncio.Event()
        settings = WorkerSettings(root=str(root), dirs=["./trigger"], ignore=[], hooks={}, log_level="info")
        self.supervisor = Supervisor(
            Path(sys.executable),
            settings,
            env={**os.environ, **(env or {})},
            on_messages=self._take,
            on_event=self._hear,
            on_capacity=self._changed.set,
            limits=limits,
        )

    async def load(self) -> LoadOutcome:
        """Load and activate the code as it is."""
        outcome = await self.try_load()
        assert outcome.ok, outcome.problems
        self.supervisor.activate(outcome.version)
        return outcome

    async def try_load(self) -> LoadOutcome:
        self._versions += 1
        return await self.supervisor.load(f"v{self._versions}")

    def start(self, task: str, payload: Any = None, *, run: str = "", token: int = 1, **fields: Any) -> str:
        self._runs += 1
        run = run or f"run_{self._runs}"
        start = {
            "id": run,
            "token": token,
            "task": task,
            "attempt": 1,
            "version": self.supervisor.current_version,
            "payload": json.dumps(payload),
            "payload_type": "application/json",
            "metadata": {},
            "tags": [],
            "queue": f"task/{task}",
            "usage_ms": 0,
            "created_at": 0,
            "started_at": 0,
            "attempt_started_at": 0,
            "record": [],
            **fields,
        }
        self.supervisor.deliver([{"t": "start", "run": start}])
        return run

    def say(self, kind: str, run: str, token: int = 1, **fields: Any) -> None:
        self.supervisor.deliver([{"t": kind, "run": run, "token": token, **fields}])

    async def park(self, run: str, token: int = 1) -> Message:
        """Answer the run's next operation with "pending", and wait until the run has parked."""
        op = await self.message(lambda m: m["t"] == "op" and m["run"] == run and m["token"] == token)
        self.say("reply", run, token, id=op["id"], pending=True)
        await self.message(lambda m: m["t"] == "park" and m["run"] == run and m["token"] == token)
        return op

    async def message(self, wanted: Callable[[Message], bool]) -> Message:
        found: Message = await self._until(lambda: next((m for m in self.messages if wanted(m)), None))
        return found

    async def event(self, kind: str) -> SupervisorEvent:
        found: SupervisorEvent = await self._until(
            lambda: next((e for e in self.events if e.kind == kind), None)
        )
        return found

    async def line(self, text: str) -> None:
        """Wait until a run or a process has printed this line."""
        await self._until(lambda: text in self.lines() or None)

    def lines(self) -> list[str]:
        batches = [m["lines"] for m in self.messages if m["t"] == "logs"]
        logged: list[str] = [line["message"] for batch in batches for line in batch]
        return logged + [event.message for event in self.events if event.kind == "output"]

    async def end(self, run: str, token: int = 1) -> Message:
        """Wait for the run's `done`, `evicted` or `lost`; the latter two come back as an outcome."""
        found: Message = await self._until(lambda: self._end(run, token))
        return found

    async def output(self, task: str, payload: Any = None) -> Any:
        """Run a task that succeeds and return its output."""
        done = await self.end(self.start(task, payload))
        assert done["outcome"] == "ok", done
        return json.loads(done["output"])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds that messages, events or free slots bring about."""
        await self._until(lambda: condition() or None)

    def pids(self) -> list[int]:
        return [pid for guard in self.supervisor.process_ids() for pid in processes.find_family(guard)]

    async def stop(self) -> None:
        guards = self.supervisor.process_ids()
        await self.supervisor.stop(1)
        assert [pid for guard in guards for pid in processes.find_family(guard)] == []

    def _end(self, run: str, token: int) -> Message | None:
        for m in self.messages:
            if m["t"] == "lost" and [run, token] in m["runs"]:
                return {"outcome": "lost"}
            if m["t"] in ("done", "evicted") and (m["run"], m["token"]) == (run, token):
                return m if m["t"] == "done" else {"outcome": "evicted"}
        return None

    async def _until(self, find: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                while (found := find()) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"waited in vain; heard {self.messages[-20:]}, {self.events[-20:]}"
            ) from None
        return found

    def _take(self, messages: list[Message]) -> None:
        self.messages += messages
        self._changed.set()

    def _hear(self, event: SupervisorEvent) -> None:
        self.events.append(event)
        self._changed.set()


def wait_dead(pid: int, seconds: float = PATIENCE) -> None:
    """Wait until a process is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], seconds)[0], f"process {pid} still runs"
    finally:
        os.close(handle)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
