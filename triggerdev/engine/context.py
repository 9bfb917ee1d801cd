"""What a command works with: one transaction's unit of work, and the effects it asks for after the commit."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from triggerdev import _crash, errors
from triggerdev._prices import NO_PRICES, Prices
from triggerdev.engine.clock import IdSource
from triggerdev.engine.model import Run, RunEvent
from triggerdev.engine.store.protocol import Tx
from triggerdev.engine.tasks import TaskTable
from triggerdev.protocol import ErrorInfo, Message

_EVENT_KINDS_WITH_DURATION = frozenset({"finished", "retrying", "waiting"})


@dataclass(slots=True)
class Effects:
    """What the shell does once the commit is on disk; dropped if the transaction is not."""

    messages: list[tuple[str, Message]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    events: list[RunEvent] = field(default_factory=list)
    logged: set[str] = field(default_factory=set)
    due_at: int | None = None
    pump: bool = False
    pump_soon: bool = False
    disowned: set[str] = field(default_factory=set)
    points: list[str] = field(default_factory=list)

    def crash_points(self, name: str) -> None:
        """Name what the transaction does, for the crash points before and after its commit."""
        if _crash.armed is not None:
            self.points.append(name)


class Context:
    """One command's view: time, ids, tasks, and runs that are loaded once and written back together."""

    def __init__(
        self,
        tx: Tx,
        now: int,
        ids: IdSource,
        rng: random.Random,
        tasks: TaskTable,
        prices: Prices = NO_PRICES,
    ) -> None:
        self.tx = tx
        self.now = now
        self.rng = rng
        self.tasks = tasks
        self.prices = prices
        self.effects = Effects()
        self._ids = ids
        self._runs: dict[str, Run] = {}
        self._dirty: dict[str, Run] = {}
        self._new: list[Run] = []
        self._queues: set[str] = set()
        self.finished: list[Run] = []

    def new_id(self, prefix: str) -> str:
        return self._ids.make(prefix, self.now)

    def preload(self, ids: Iterable[str]) -> None:
        """Load several runs at once, so that `find` costs nothing."""
        missing = [run_id for run_id in dict.fromkeys(ids) if run_id not in self._runs]
        if missing:
            self._runs.update(self.tx.get_runs(missing))

    def find(self, run_id: str) -> Run | None:
        if run_id not in self._runs:
            self.preload([run_id])
        return self._runs.get(run_id)

    def run(self, run_id: str) -> Run:
        """Load a run. Raises NoSuchRunError."""
        run = self.find(run_id)
        if run is None:
            raise errors.NoSuchRunError(f"Run {run_id!r} not found.")
        return run

    def adopt(self, runs: Iterable[Run]) -> list[Run]:
        """Take rows of another query into this unit of work; a run already loaded stays the one object."""
        return [self._runs.setdefault(run.id, run) for run in runs]

    def add(self, run: Run) -> None:
        self._new.append(run)
        self._runs[run.id] = run
        self.effects.changed.append(run.id)

    def has_queue(self, name: str) -> bool:
        """Tell whether a task declares a queue, or a run was put in it."""
        if name not in self._queues and self.tx.get_queue(name) is not None:
            self._queues.add(name)
        return name in self._queues

    def save(self, run: Run) -> None:
        """Note that a run has changed; a new one is written as it is at the end."""
        if run.seq and run.id not in self._dirty:
            self._dirty[run.id] = run
            self.effects.changed.append(run.id)
        run.rev += 1
        run.updated_at = self.now

    def flush(self) -> None:
        """Write what has changed."""
        if self._new:
            self.flush_new()
        if self._dirty:
            self.tx.update_runs(list(self._dirty.values()))
            self._dirty.clear()

    def flush_new(self) -> None:
        """Write new runs; their loaded objects are dropped, since only the store knows their `seq`."""
        self.tx.insert_runs(self._new)
        for run in self._new:
            del self._runs[run.id]
        self._new = []

    def wake_at(self, due_at: int | None) -> None:
        """Ask the shell to look again at a time."""
        effects = self.effects
        if due_at is not None and (effects.due_at is None or due_at < effects.due_at):
            effects.due_at = due_at

    def tell(self, worker: str | None, message: Message) -> None:
        if worker is not None:
            self.effects.messages.append((worker, message))

    def crash_points(self, name: str) -> None:
        if _crash.armed is not None:
            self.effects.crash_points(name)

    def event(
        self, kind: str, run: Run, *, error: ErrorInfo | None = None, retry_at: int | None = None
    ) -> None:
        started = run.attempt_started_at if kind in _EVENT_KINDS_WITH_DURATION else None
        self.effects.events.append(
            RunEvent(
                kind,
                run.id,
                run.task,
                run.attempt,
                run.status,
                self.now,
                None if started is None else self.now - started,
                error,
                retry_at,
            )
        )
