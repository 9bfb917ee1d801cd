"""A real engine on a real store, with a clock that stands still and a worker that says what it is told."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.store.backends import Backend, SqliteBackend
from triggerdev import _durations, _json
from triggerdev.engine.clock import IdSource
from triggerdev.engine.engine import Engine
from triggerdev.engine.leases import Leases
from triggerdev.engine.model import Batch, Run, RunEvent, Status, TriggerItem
from triggerdev.engine.objects.protocol import ObjectStore
from triggerdev.engine.store.protocol import Store
from triggerdev.engine.vault import Vault
from triggerdev.protocol import Manifest, Message, QueueInfo, TaskInfo

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
BOOM = {"type": "BUILT_IN_ERROR", "name": "ValueError", "message": "boom", "stackTrace": ""}
INLINE = 1000  # bytes of a body that are kept in the row, where there is an object store
_PATIENCE = 10.0
_SWEEP_EVERY = 10 * SECOND


class VirtualClock:
    """Time that moves only when it is told to."""

    def __init__(self, now: int = START) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def advance(self, ms: int) -> None:
        self._now += ms


def task(task_id: str, **fields: Any) -> TaskInfo:
    """Describe a task; without a `retry` it is not repeated by chance but by the default policy."""
    info: dict[str, Any] = {"id": task_id, "file": "trigger/t.py", "line": 1, "kind": "async", **fields}
    return info  # type: ignore[return-value]  # a TypedDict of freely chosen fields


def manifest(*tasks: TaskInfo, queues: Sequence[QueueInfo] = ()) -> Manifest:
    return Manifest(tasks=list(tasks), queues=list(queues), files=[], packages=[], threads=[], hash="")


only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("backend", ["postgres"], indirect=True)
DEFAULT_TASKS = (task("job"), task("child"), task("other"), task("plain", kind="sync"))


def crash(code: str) -> dict[str, Any]:
    return {"type": "INTERNAL_ERROR", "code": code, "message": "it is gone"}


class Worker:
    """A session whose messages gather in `inbox`; it remembers the token of each run that it was given."""

    def __init__(self, engine: Engine, name: str = "w1", *, room: int = 100, sync_room: int = 100) -> None:
        self.name = name
        self.room = {"async": room, "sync": sync_room}
        self.inbox: list[Message] = []
        self.tokens: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self._busy: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._ids = 0
        self._news = asyncio.Event()
        self.session = engine.connect(name, self._deliver, self._free)

    def _free(self) -> dict[str, int]:
        busy = list(self._busy.values())
        return {kind: room - busy.count(kind) for kind, room in self.room.items()}

    def _deliver(self, messages: list[Message]) -> None:
        for message in messages:
            self._note(message)
        self.inbox.extend(messages)
        self._news.set()

    def _note(self, message: Message) -> None:
        if message["t"] == "start":
            run = message["run"]
            self.tokens[run["id"]] = run["token"]
            self.attempts[run["id"]] = run["attempt"]
            self._kinds[run["id"]] = self._busy[run["id"]] = "sync" if run["task"] == "plain" else "async"
        elif message["t"] == "resume":
            self.tokens[message["run"]] = message["token"]
            self._busy[message["run"]] = self._kinds.get(message["run"], "async")

    @property
    def executing(self) -> list[str]:
        """The runs that hold a slot here."""
        return list(self._busy)

    # -- listening

    async def next(self, kind: str, run: str | None = None) -> Message:
        """Take the oldest message of a kind (and a run), waiting for it if it has not come."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                self._news.clear()
                for message in self.inbox:
                    if message["t"] == kind and run in (None, _run_of(message)):
                        self.inbox.remove(message)
                        return message
                await self._news.wait()

    async def started(self, run: str | None = None) -> dict[str, Any]:
        """Take a start message's description of the run."""
        described: dict[str, Any] = (await self.next("start", run))["run"]
        return described

    def heard(self, kind: str | None = None) -> list[Message]:
        """Take all messages (of a kind) that have come."""
        found = [message for message in self.inbox if kind in (None, message["t"])]
        self.inbox = [message for message in self.inbox if message not in found]
        return found

    # -- speaking

    async def say(self, *messages: Message) -> None:
        """Send one frame and wait until it is committed."""
        for message in messages:
            if message["t"] in ("done", "park", "evicted"):
                self._busy.pop(message["run"], None)
        self.session.receive(list(messages))
        await self.session.flushed()

    def message(self, kind: str, run: str, /, **fields: Any) -> Message:
        """Write a message under the run's token (or the one that is given)."""
        return {"t": kind, "run": run, "token": self.tokens.get(run, 0), **fields}

    async def done(self, run: str, outcome: str, /, **fields: Any) -> None:
        await self.say(self.message("done", run, outcome=outcome, **fields))

    async def ok(self, run: str, output: Any = None, **fields: Any) -> None:
        text = _json.dumps(output)
        await self.done(run, "ok", output=text, output_type="application/json", **fields)

    async def fail(self, run: str, error: dict[str, Any] = BOOM, **fields: Any) -> None:
        await self.done(run, "failed", error=error, **fields)

    def op_message(self, run: str, op: str, kind: str, target: str | None = None, /, **args: Any) -> Message:
        self._ids += 1
        return self.message("op", run, id=self._ids, op=op, kind=kind, target=target, args=args)

    async def op(self, run: str, op: str, kind: str, target: str | None = None, /, **args: Any) -> Message:
        """Do a durable operation; returns the reply."""
        message = self.op_message(run, op, kind, target, **args)
        await self.say(message)
        reply = next(m for m in self.inbox if m["t"] == "reply" and m["id"] == message["id"])
        self.inbox.remove(reply)
        return reply

    async def park(self, run: str, *ops: str, usage_ms: int = 0) -> None:
        await self.say(self.message("park", run, ops=list(ops), usage_ms=usage_ms))

    async def evicted(self, run: str) -> None:
        await self.say(self.message("evicted", run))

    async def lost(self, *runs: str) -> None:
        for run in runs:
            self._busy.pop(run, None)
        await self.say({"t": "lost", "runs": [[run, self.tokens[run]] for run in runs]})

    async def wait_parked(self, run: str, op: str = "0:0", ms: int = HOUR) -> None:
        """Have a run wait for a time and give its slot back."""
        reply = await self.op(run, op, "wait", None, for_ms=ms)
        assert reply.get("pending"), reply
        await self.park(run, op)


def _run_of(message: Message) -> str | None:
    run = message.get("run")
    found = run["id"] if isinstance(run, dict) else run
    return found if found is None else str(found)


class EngineKit:
    """An engine with its clock, its events and one connected worker."""

    def __init__(
        self, backend: Backend, tasks: Sequence[TaskInfo], queues: Sequence[QueueInfo], seed: int
    ) -> None:
        self.backend = backend
        self.worker_name = "w1"
        self.room = 100
        self.concurrency_limit: int | None = None
        self.leases = Leases()
        self.objects: ObjectStore | None = None
        self.vault_key = b"k" * 32
        self.clock = VirtualClock()
        self.events: list[RunEvent] = []
        self.tasks, self.queues = tasks, queues
        self._seed = seed
        self.engine: Engine
        self.store: Store
        self.worker: Worker

    # -- life

    async def open(self, *, activate: bool = True) -> None:
        self._seed += 1
        rng = random.Random(self._seed)
        self.store = self.backend.make()
        self.engine = Engine(
            self.store,
            clock=self.clock,
            rng=rng,
            ids=IdSource(rng),
            leases=self.leases,
            concurrency_limit=self.concurrency_limit,
            objects=self.objects,
            inline_bytes=INLINE,
            vault=Vault(lambda: self.vault_key),
        )
        self.engine.listen(self.events.append)
        await self.engine.start()
        if activate:
            await self.activate(*self.tasks, queues=self.queues)
        self.worker = Worker(self.engine, self.worker_name, room=self.room)

    async def close(self) -> None:
        await self.engine.stop()

    async def activate(self, *tasks: TaskInfo, queues: Sequence[QueueInfo] = ()) -> str:
        version = await self.engine.next_version()
        await self.engine.activate(version, manifest(*tasks, queues=queues))
        return version

    async def restart(self, *, down_ms: int = 0, activate: bool = True) -> None:
        """Stop the engine and start another one on the same data, `down_ms` later; workers are new too."""
        await self.close()
        self.clock.advance(down_ms)
        await self.open(activate=activate)

    def connect(self, name: str, **room: int) -> Worker:
        return Worker(self.engine, name, **room)

    # -- time

    async def advance(self, span: str | int) -> None:
        """Move the clock and carry out what has become due; leases are swept if a sweep was due too."""
        ms = span if isinstance(span, int) else _durations.parse_duration_ms(span)
        assert ms is not None
        self.clock.advance(ms)
        await self.engine.tick()
        if ms >= _SWEEP_EVERY:
            await self.engine.sweep()
        await self.engine.settled()

    # -- asking

    async def trigger(self, task_id: str = "job", payload: Any = None, /, **options: Any) -> str:
        """Trigger a task with wire options; returns the run's id."""
        return (await self.engine.trigger(item(task_id, payload, **options))).id

    async def start(self, task_id: str = "job", payload: Any = None, /, **options: Any) -> str:
        """Trigger a task and wait until the worker has it."""
        run = await self.trigger(task_id, payload, **options)
        await self.worker.started(run)
        return run

    async def run(self, run_id: str) -> Run:
        return (await self.engine.retrieve_run(run_id)).run

    async def status(self, run_id: str) -> Status:
        return (await self.run(run_id)).status

    async def batch(self, batch_id: str) -> Batch:
        return await self.engine.retrieve_batch(batch_id)

    async def settled(self) -> None:
        await self.engine.settled()

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database beside the engine."""
        return self.backend.query(sql, *values)

    def kinds(self, run_id: str) -> list[str]:
        """The kinds of the events of a run, in order."""
        return [event.kind for event in self.events if event.run == run_id]


def item(
    task_id: str = "job", payload: Any = None, /, index: int | None = None, **options: Any
) -> TriggerItem:
    text = None if payload is None else _json.dumps(payload)
    return TriggerItem(task_id, text, options=options, index=index)


@asynccontextmanager
async def engine_kit(
    backend: Backend | Path,
    *,
    tasks: Sequence[TaskInfo] = DEFAULT_TASKS,
    queues: Sequence[QueueInfo] = (),
    seed: int = 0,
) -> AsyncIterator[EngineKit]:
    """Run an engine on a backend (a folder: on SQLite in it) for the length of a block."""
    place = SqliteBackend(backend) if isinstance(backend, Path) else backend
    kit = EngineKit(place, tasks, queues, seed)
    try:
        await kit.open()
        try:
            yield kit
        finally:
            await kit.close()
    finally:
        if isinstance(backend, Path):
            place.close()
