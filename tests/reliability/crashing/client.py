"""A process with an engine, its worker and a client, on a virtual clock: all that an engine can do.

The client writes down what was answered. When the process is started again after its death, it asks again for
what was not; so whoever comes to the end has done the same as one that was never killed. On PostgreSQL there
are two engines: one has the worker, the other takes the calls.
"""

import asyncio
import contextlib
import functools
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reliability.crashing import tasks
from triggerdev import _crash, _json, errors
from triggerdev.engine import cleaning
from triggerdev.engine import store as stores
from triggerdev.engine.clock import IdSource
from triggerdev.engine.commands import retention, timers
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import RunFilter, Status, TriggerItem
from triggerdev.engine.objects import FolderObjects
from triggerdev.engine.store.postgres import PostgresStore
from triggerdev.engine.store.protocol import Store, Tx
from triggerdev.protocol import WorkerSettings
from triggerdev.testing import project as projects
from triggerdev.testing.clock import VirtualClock
from triggerdev.testing.worker import InProcessWorker

START = 1_767_225_600_000 + 30 * 60_000  # 2026-01-01T00:30:00Z
MINUTE, HOUR = 60_000, 3_600_000
SECONDS = 240  # of real time, for all that a process does
ITEMS, STREAMS = 9, 3
SITTERS = 4
SIMPLE = ("family", "sleeper", "sleeper-sync", "retried", "errand", "mailbox", "hopeless", "patient")
_INLINE_BYTES = 8  # so that the larger outputs are stored beside the database
_OPEN = (Status.DELAYED, Status.PENDING, Status.EXECUTING, Status.RETRYING, Status.WAITING)
_KEPT = retention.Retention(runs_ms=HOUR, logs_ms=HOUR)
_ENV = "TRIGGER_CRASH", "TRIGGER_CRASH_FOLDER"


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is to do: one round more than is done. `database` is a folder, or a PostgreSQL's URL."""

    folder: Path
    database: str
    schema: str
    seed: int
    rounds: int
    crash: str = ""

    def open_store(self) -> Store:
        if "://" in self.database:
            return PostgresStore(self.database, schema=self.schema)
        return stores.open_store(Path(self.database) / "engine.db")

    @property
    def is_shared(self) -> bool:
        return "://" in self.database


class Notebook:
    """What the client knows of itself after its death: answers by label, and the time."""

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, str] = {}
        self.clock = START
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            label, answer = line.split(" ")
            if label == "clock":
                self.clock = int(answer)
            else:
                self.answers[label] = answer
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, label: str, answer: str) -> None:
        os.write(self._file, f"{label} {answer}\n".encode())
        self.answers[label] = answer

    async def once(self, label: str, call: Callable[[], Awaitable[Any]]) -> str:
        """Make a call and note its answer, unless that was done."""
        if label not in self.answers:
            self.note(label, str(await call() or "-"))
        return self.answers[label]


def run(job: Job) -> None:
    """Do a job in this process, until its end or that of the process."""
    output = os.open(job.folder / "output", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.pop(_ENV[0], None)
    if job.crash:
        (job.folder / "points").mkdir(exist_ok=True)
        os.environ.update(zip(_ENV, (job.crash, str(job.folder / "points")), strict=True))
    _crash.arm()
    # so that it takes several transactions to take over, to carry out what is due, to delete what is old
    timers._PAGE = retention.MOST = cleaning._FIRST_STEP = 3
    asyncio.run(_run(job))


async def _run(job: Job) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            client = Client(job)
            async with client.engines():
                for number in range(job.rounds):
                    await client.round(number)
    except TimeoutError:
        sys.exit(f"not finished after {SECONDS} s; non-final runs are left, or the worker never rested")


class Client:
    """Calls the engine and moves the clock."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._notes = Notebook(job.folder / "notebook")
        self._known = frozenset(self._notes.answers)  # of earlier processes
        self._clock = VirtualClock()
        self._clock._now = self._notes.clock
        self._project = projects.build(tasks, WorkerSettings(root=""))
        self._engines: list[Engine] = []
        self._worker: InProcessWorker | None = None
        surroundings = tasks.Surroundings
        surroundings.now = self._clock.now
        surroundings.ledger = os.open(job.folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        surroundings.door = asyncio.Event()

    @contextlib.asynccontextmanager
    async def engines(self) -> AsyncIterator[None]:
        """Start one engine, or two on a database that can be shared."""
        for number in range(2 if self._job.is_shared else 1):
            rng = random.Random(f"{self._job.seed} {len(self._notes.answers)} {number}")
            engine = Engine(
                self._job.open_store(),
                clock=self._clock,
                rng=rng,
                ids=IdSource(rng),
                retention=_KEPT,
                objects=FolderObjects(self._job.folder / "objects"),
                inline_bytes=_INLINE_BYTES,
            )
            await engine.start()
            self._engines.append(engine)
            manifest = projects.manifest(self._project, schedules=True)
            await engine.activate(await engine.next_version(), manifest)
        yield
        for engine in self._engines:
            await engine.stop()

    @property
    def _back(self) -> Engine:
        """The engine with the worker."""
        return self._engines[0]

    @property
    def _front(self) -> Engine:
        """The engine that is called."""
        return self._engines[-1]

    # -- one round

    async def round(self, number: int) -> None:
        """Do everything once, with an end of the process in the middle."""
        if f"done-{number}" in self._known:
            return
        begun = int(await self._notes.once(f"begun-{number}", self._time))
        if f"sitting-{number}" in self._known:
            tasks.Surroundings.door.set()
        await self._expire(number, begun)
        if self._worker is None:
            self._worker = InProcessWorker(self._back, self._project)
        await self._trigger_all(number)
        await self._cancel_executing(number)
        await self._settle()
        await self._cancel_waiting(number)
        await self._notes.once(f"letter-{number}", lambda: self._complete(f"letter-{number}"))
        await self._settle()
        await self._move_to(begun + 90 * MINUTE)
        self._worker.let_all_go()
        await self._settle()
        await self._sit_down(number)
        await self._move_to(begun + 3 * HOUR)
        await self._drain()
        await self._back.clean()
        await self._notes.once(f"done-{number}", self._time)

    async def _time(self) -> int:
        return self._clock.now()

    async def _expire(self, number: int, begun: int) -> None:
        """Have a run's TTL end while it is queued: only where there is no worker yet."""
        if self._worker is None:
            await self._trigger(f"plain-ttl-{number}", "plain", number, ttl="5m")
            await self._move_to(begun + 10 * MINUTE)

    async def _trigger_all(self, number: int) -> None:
        calls = [self._trigger(f"{name}-{number}", name, number) for name in SIMPLE]
        calls += [self._trigger(f"limited-{n}-{number}", "limited", n) for n in range(4)]
        calls.append(self._trigger(f"plain-late-{number}", "plain", number, delay="30m"))
        await asyncio.gather(*calls, self._stream_batch(number))

    async def _stream_batch(self, number: int) -> None:
        label = f"batch-{number}"
        batch = await self._notes.once(label, lambda: self._create_batch(label))
        for stream in range(STREAMS):
            items = [TriggerItem("plain", str(n), index=n) for n in range(stream, ITEMS, STREAMS)]
            await self._notes.once(f"items-{number}-{stream}", functools.partial(self._add, batch, items))

    async def _create_batch(self, label: str) -> str:
        return (await self._front.create_batch(run_count=ITEMS, request=label)).id

    async def _add(self, batch: str, items: list[TriggerItem]) -> None:
        await self._front.add_batch_items(batch, items)

    async def _trigger(self, label: str, task: str, payload: int, **options: Any) -> str:
        item = TriggerItem(task, _json.dumps(payload), options=options)

        async def trigger() -> str:
            return (await self._front.trigger(item, request=label)).id

        return await self._notes.once(label, trigger)

    async def _cancel_executing(self, number: int) -> None:
        run = await self._trigger(f"stubborn-{number}", "stubborn", number)
        await self._until(run, (Status.EXECUTING,))
        await self._notes.once(f"stop-stubborn-{number}", lambda: self._front.cancel_run(run))
        await self._until(run, ())

    async def _cancel_waiting(self, number: int) -> None:
        run = self._notes.answers[f"patient-{number}"]
        await self._notes.once(f"stop-patient-{number}", lambda: self._front.cancel_run(run))

    async def _complete(self, name: str) -> None:
        await self._front.tokens.create(idempotency_key=name)
        await self._front.tokens.complete(name, "7", "application/json")

    async def _sit_down(self, number: int) -> None:
        """Die while runs execute, once in a round."""
        await self._notes.once(f"sitting-{number}", self._time)
        runs = [await self._trigger(f"sitter-{n}-{number}", "sitter", n) for n in range(SITTERS)]
        if f"sitting-{number}" not in self._known:
            for run in runs:
                await self._until(run, (Status.EXECUTING,))
            os.kill(os.getpid(), signal.SIGKILL)

    # -- time

    async def _until(self, run: str, statuses: tuple[Status, ...]) -> None:
        """Wait until a run has one of these statuses or has ended."""
        rev = -1
        while True:
            try:
                found = (await self._front.wait_run(run, since_rev=rev, timeout=0.2)).run
            except errors.NoSuchRunError:
                return  # it has ended long ago
            if found.status in statuses or found.status.is_final:
                return
            rev = found.rev

    async def _settle(self) -> None:
        """Wait until every run waits or has ended, what the other engine has done included."""
        if self._worker is None:
            return
        for _ in range(2):
            if self._back._sharing is not None:
                self._back._sharing._collect()
            self._back.pump()
            await self._worker.idle()

    async def _move_to(self, target: int) -> None:
        """Go to a time; what is due before happens at its time."""
        while self._clock.now() < target:
            due = await self._back._shell.read(lambda ctx: ctx.tx.next_due(scheduled=ctx.tasks.scheduled_ids))
            self._clock.move_to(min(due or target, target))
            self._notes.note("clock", str(self._clock.now()))
            for engine in self._engines:
                await engine.tick()
            await self._settle()

    async def _drain(self) -> None:
        """Move the clock until every run has ended."""
        while await self._is_anything_open():
            await self._settle()
            due = await self._back._shell.read(lambda ctx: ctx.tx.next_due(scheduled=()))
            if due is not None and due > self._clock.now():
                await self._move_to(due)
            else:
                await asyncio.sleep(0.01)  # something of the other engine is on its way

    async def _is_anything_open(self) -> bool:
        return bool(await self._back._shell.read(lambda ctx: _has_open(ctx.tx)))


def _has_open(tx: Tx) -> bool:
    return bool(tx.list_runs(RunFilter(status=[status.public_name for status in _OPEN]), 1, None, None))
