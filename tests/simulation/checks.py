"""What must hold after every command, and at the end; knows the promises, not the engine's code."""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation import programs
from tests.simulation.ledger import Ledger
from tests.simulation.promises import BrokenPromiseError, may_become
from tests.simulation.watched import WatchedStore, WatchedTx
from triggerdev import _durations, _json
from triggerdev.engine.context import Effects
from triggerdev.engine.model import Run, Status
from triggerdev.engine.store.memory_tables import Tables
from triggerdev.engine.store.protocol import OpRow, Tx
from triggerdev.protocol import Message

if TYPE_CHECKING:
    from tests.simulation.world import World

_HELD = (Status.EXECUTING, Status.WAITING)
_FAILED = (Status.FAILED, Status.CRASHED, Status.SYSTEM_FAILURE, Status.EXPIRED, Status.TIMED_OUT)
_LATE_FIELDS = frozenset({"tags", "metadata", "rev", "updated_at"})  # of a final run, others may change these
_MOST_ATTEMPTS = 4
_CLOCKS_DIFFER = 1_000
KEPT_MS = 60_000  # finished runs are not deleted sooner


@dataclass
class QueueRules:
    """What counts for queues: limits of the current version, overrides, and which are paused."""

    declared: dict[str, int | None] = field(default_factory=dict)
    overrides: dict[str, int | None] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def limit(self, queue: str) -> int | None:
        override = self.overrides.get(queue)
        return self.declared.get(queue) if override is None else override


class Checks(Ledger):
    """Compares the tables before and after each command."""

    def __init__(self, world: "World", store: WatchedStore) -> None:
        super().__init__(store)
        self._world = world
        self._before = Tables()
        self.now = 0
        self._staged: list[Any] = []
        self._events: Counter[str] = Counter()
        self._by: set[str] = set()
        self._rules_stored = QueueRules()
        self._rules = QueueRules()
        self._slots: set[tuple[str, str]] = set()
        self._leases: dict[str, int] = {}
        self._overdue: set[Any] = set()
        self._idle: set[str] = set()

    def that(self, holds: bool, otherwise: str) -> None:
        """Fail unless something holds."""
        if not holds:
            raise BrokenPromiseError(otherwise)

    # -- around a commit

    def begin(self) -> None:
        """Start to watch a transaction."""
        self._before = self.tables
        self._staged = []
        self._rules = copy.deepcopy(self._rules_stored)

    def did(self, label: str, frame: list[Message], tx: Tx, now: int) -> None:
        """Check what one command has changed, at a time of its server's clock."""
        self.now = now
        assert isinstance(tx, WatchedTx)
        before, after = self._before, tx.tables
        if before.runs is not after.runs:
            self._check_runs(label, before, after)
        if before.ops is not after.ops:
            self._check_ops(frame, before, after)
        if before.batches is not after.batches:
            self._check_batches(after)
        if frame and all(self._is_stale(message, before) for message in frame):
            self._check_untouched(frame, before, after)
        self._before = Tables(**{name: dict(getattr(after, name)) for name in ("runs", "ops", "batches")})

    def stage(self, act: Any) -> None:
        """Remember something if the transaction commits."""
        self._staged.append(act)

    def rule(self, change: Callable[[QueueRules], object]) -> None:
        """Note what counts for queues from here on."""
        change(self._rules)
        self.stage(lambda: change(self._rules_stored))

    def committed(self) -> None:
        """Note that a transaction has happened."""
        for act in self._staged:
            act()

    def told(self, effects: Effects) -> None:
        """Check what a commit tells the world."""
        for event in effects.events:
            if event.kind == "finished":
                self._events[event.run] += 1
                self.that(self._events[event.run] == 1, f"{event.run} has finished twice")

    # -- runs

    def _check_runs(self, label: str, before: Tables, after: Tables) -> None:
        started = []
        for run_id, new in after.runs.items():
            old = before.runs.get(run_id)
            if old is new:
                continue
            if old is None:
                self._check_new(new, after)
            else:
                self._check_changed(label, old, new)
            if new.status is Status.EXECUTING and (old is None or old.status is not Status.EXECUTING):
                started.append(new)
        for run in started:
            self._check_limit(run, after)
        for run_id in before.runs.keys() - after.runs.keys():
            self._check_deleted(label, before.runs[run_id], after)

    def _check_deleted(self, label: str, run: Run, after: Tables) -> None:
        is_old = run.status.is_final and (run.finished_at or 0) <= self.now - KEPT_MS
        self.that(is_old and label == "clean", f"{run.id} ({run.status}) was deleted by {label}")
        used = [op for op in after.ops.values() if op.ref == run.id and not op.done]
        children = [other.id for other in after.runs.values() if other.parent_id == run.id]
        self.that(not used and not children, f"{run.id} was deleted: {used}, {children} need it")
        self._world.count("run deleted")
        self.stage(lambda: self.deleted.add(run.id))

    def _check_new(self, run: Run, after: Tables) -> None:
        self.that(run.status in (Status.PENDING, Status.DELAYED), f"{run.id} begins as {run.status}")
        copied = (run.metadata or {}).get("n", 0)
        self.stage(lambda: self.changes.update({run.id: copied}))
        if run.schedule_id is not None:
            self._check_slot(run, after)
            return
        by = _json.loads(run.payload or "{}")["by"]
        if not run.is_replay and not by.startswith("client"):
            self.that(by not in self._by, f"operation {by} has made a second run, {run.id}")
            self.stage(lambda: self._by.add(by))
        if run.idempotency_key is not None:
            self._check_key(run, after)

    def _check_key(self, run: Run, after: Tables) -> None:
        same = [
            other
            for other in after.runs.values()
            if (other.task, other.idempotency_key) == (run.task, run.idempotency_key) and other.seq < run.seq
        ]
        if not same:
            return
        last = max(same, key=lambda other: other.seq)  # it had the key; those before it have lost it already
        is_over = last.created_at + programs.KEY_TTL[run.idempotency_key or ""] <= self.now
        self.that(
            is_over or last.status in _FAILED,
            f"key {run.idempotency_key} has made {run.id} beside {last.id} ({last.status})",
        )
        self._world.count("a key that had ended was used again")

    def _check_slot(self, run: Run, after: Tables) -> None:
        stamp = _json.loads(run.payload or "")["json"]["timestamp"]
        slot, now = _durations.parse_instant_ms(stamp), self.now
        cron = after.schedules[run.schedule_id or ""].cron  # of every n-th minute
        period = int(cron.split()[0].removeprefix("*/")) * programs.MINUTE
        self.that(slot is not None and slot % period == 0, f"{stamp} is no slot of {run.task}")
        assert slot is not None
        self.that(slot <= now < slot + period, f"the slot of {stamp} has a run at {_durations.iso(now)}")
        self.that((run.task, stamp) not in self._slots, f"the slot {stamp} of {run.task} has a second run")
        if now - slot > 10_000:
            self._world.count("a missed slot was caught up with")
        self.stage(lambda: self._slots.add((run.task, stamp)))

    def _check_changed(self, label: str, old: Run, new: Run) -> None:
        move = (old.status, new.status)
        self.that(move[0] is move[1] or may_become(*move), f"{new.id} went from {move[0]} to {move[1]}")
        if old.status is not new.status:
            self._world.count(f"{old.status} -> {new.status}")
        if old.status.is_final:
            changed = [name for name in Run.__slots__ if getattr(old, name) != getattr(new, name)]
            self.that(_LATE_FIELDS.issuperset(changed), f"{new.id} is final, but {changed} changed")
        is_claim = new.status is Status.EXECUTING and old.status is not Status.EXECUTING
        self._check_token(old, new, is_claim)
        if is_claim:
            self._check_claim(old, new)
        if label.startswith("sweep") and old.status is Status.EXECUTING is not new.status:
            self._check_lease(old)
        self._check_time(old, new)

    def _check_token(self, old: Run, new: Run, is_claim: bool) -> None:
        begins = is_claim and not old.resuming
        wanted = (old.token + is_claim, old.attempt + begins)
        self.that(
            (new.token, new.attempt) == wanted,
            f"{new.id} has (token, attempt) {new.token, new.attempt}, not {wanted}",
        )

    def _check_claim(self, old: Run, new: Run) -> None:
        self.that(new.worker is not None and not new.ready, f"{new.id} was claimed for nobody")
        self.that(not new.cancel_requested, f"{new.id} was claimed although it is being cancelled")
        most = new.max_attempts or _MOST_ATTEMPTS
        self.that(new.attempt <= most, f"{new.id} is at attempt {new.attempt} of {most}")

    def _check_time(self, old: Run, new: Run) -> None:
        now = self.now
        if old.status is Status.RETRYING and new.ready and not old.ready:
            early = (self.retries[new.id] or 0) - now
            self.that(early <= 0, f"{new.id} is repeated {early} ms early")
        if old.status is Status.DELAYED and new.status is Status.PENDING:
            assert old.delayed_until is not None
            self.that(now >= old.delayed_until, f"{new.id} began {old.delayed_until - now} ms early")
        if new.status is Status.EXPIRED and old.status is not Status.EXPIRED:
            over = (old.queued_at or 0) + (old.ttl_ms or 0)
            self.that(now >= over and old.attempt == 0, f"{new.id} has expired {over - now} ms early")
        if new.status is Status.RETRYING and old.status in _HELD:
            due = new.due_at
            self.that(due is not None and due >= now, f"{new.id} is to be repeated at {due}")
            self.stage(lambda: self.retries.__setitem__(new.id, due))

    def _check_limit(self, run: Run, after: Tables) -> None:
        executing = [other for other in after.runs.values() if other.status is Status.EXECUTING]
        self._check_full("everything", len(executing), self._world.limit)
        self.that(run.queue not in self._rules.paused, f"{run.id} begins in {run.queue}, which is paused")
        lane = (run.queue, run.concurrency_key)
        beside = [other.id for other in executing if (other.queue, other.concurrency_key) == lane]
        self._check_full("a queue", len(beside), self._rules.limit(run.queue))

    def _check_full(self, what: str, count: int, limit: int | None) -> None:
        if limit is not None:
            self.that(count <= limit, f"{what} has {count} executing runs of {limit}")
            if count == limit:
                self._world.count(f"{what} was full")

    # -- leases

    def renewed(self, workers: list[str], lease_ms: int) -> None:
        """Note that leases were renewed, by the time that has passed, whatever clocks say."""
        for worker in workers:
            self._leases[worker] = self._world.time + lease_ms

    def _check_lease(self, run: Run) -> None:
        left = self._leases.get(run.worker or "", 0) - self._world.time
        if left > _CLOCKS_DIFFER and self._world.clocks_differ:
            self._world.count("run taken over early by a server that has seen a jump first")
            return
        self.that(
            left <= _CLOCKS_DIFFER, f"{run.id} was taken from {run.worker}, whose lease lasts {left} ms more"
        )
        self._world.count("run taken over after its lease")

    def _is_stale(self, message: Message, before: Tables) -> bool:
        if message["t"] == "lost":
            return all(
                self._is_stale({"t": "evicted", "run": r, "token": n}, before) for r, n in message["runs"]
            )
        run = before.runs.get(message.get("run", ""))
        if run is None or run.token != message.get("token") or run.status.is_final:
            return "run" in message
        return message["t"] != "evicted" and run.status not in _HELD

    def _check_untouched(self, frame: list[Message], before: Tables, after: Tables) -> None:
        for name in ("runs", "ops", "batches"):
            same = getattr(before, name) is getattr(after, name) or getattr(before, name) == getattr(
                after, name
            )
            self.that(same, f"{name} were changed by messages under old tokens: {frame}")
        self._world.count("message under an old token")

    # -- operations

    def _check_ops(self, frame: list[Message], before: Tables, after: Tables) -> None:
        args = {(m["run"], m["op"]): m["args"] for m in frame if m["t"] == "op"}
        for key, new in after.ops.items():
            old = before.ops.get(key)
            if old is None:
                self._check_new_op(new, args.get((new.run_id, new.op), {}), after)
            elif old is not new:
                self._check_op_done(old, new)
        for run_id, attempt, op in before.ops.keys() - after.ops.keys():
            run = after.runs.get(run_id)
            is_over = run is None or run.status.is_final or run.status is Status.RETRYING
            self.that(is_over, f"operation {op} of attempt {attempt} of {run_id} is forgotten")

    def _check_new_op(self, op: OpRow, args: dict[str, Any], after: Tables) -> None:
        now = self.now
        self._world.count(f"operation {op.kind}")
        if op.kind == "wait":
            due = args["until"] if "until" in args else now + args["for_ms"]
            is_right = op.done == (due <= now) and op.due_at == (None if op.done else due)
            self.that(is_right, f"{op} should end at {due}")
        elif op.kind == "metadata":
            run = after.runs[op.run_id]
            parent = after.runs.get(run.parent_id or "")
            self.stage(lambda: self.changes.update([run.id, parent.id if parent else run.id]))

    def _check_op_done(self, old: OpRow, new: OpRow) -> None:
        same = all(getattr(old, name) == getattr(new, name) for name in ("kind", "target", "ref", "n"))
        completed = not old.done and new.done  # or noted once more, as it is, for the next resume
        self.that(same and (completed or old == new), f"a record has changed: {old} is now {new}")
        if old.kind == "wait":
            early = (old.due_at or 0) - self.now
            self.that(early <= 0, f"a wait of {old.run_id} has ended {early} ms early")

    def _check_batches(self, after: Tables) -> None:
        for row in after.batches.values():
            if row.batch.status in ("COMPLETED", "PARTIAL_FAILED"):
                left = [
                    r for r in row.items.values() if r in after.runs and not after.runs[r].status.is_final
                ]
                self.that(not left, f"{row.batch.id} is complete, {left} are not")

    # -- now and then

    def nothing_is_forgotten(self) -> None:
        """Check that what is due or could be executed is so within the time between two calls.

        A call that follows a fault only notes what there is.
        """
        overdue, idle = self._due_before(self._world.now()), self._claimable()
        if self._world.is_calm:
            late = overdue & self._overdue
            self.that(not late, f"overdue, and nobody looks after it: {late}")
            self.that(not (idle & self._idle), f"{idle & self._idle} could be executed, and are not")
        self._overdue, self._idle = overdue, idle

    def _due_before(self, now: int) -> set[Any]:
        tables = self.tables
        runs = {(r.id, r.due_at) for r in tables.runs.values() if r.due_at is not None and r.due_at <= now}
        ops = {
            (op.run_id, op.op, op.due_at)
            for op in tables.ops.values()
            if not op.done and op.due_at is not None and op.due_at <= now
        }
        tokens = {
            (t.id, t.timeout_at)
            for t in tables.tokens.values()
            if t.status == "WAITING" and t.timeout_at is not None and t.timeout_at <= now
        }
        slots = {
            (s.id, s.next_at) for s in tables.schedules.values() if s.next_at is not None and s.next_at <= now
        }
        return runs | ops | tokens | slots

    def _claimable(self) -> set[str]:
        tables, world = self.tables, self._world
        room: Counter[str] = Counter()
        for worker in world.workers:
            if worker.link is not None and worker.link.is_ready and not worker.is_frozen:
                room.update({kind: max(0, count) for kind, count in worker.free().items()})
        busy = Counter(
            (r.queue, r.concurrency_key) for r in tables.runs.values() if r.status is Status.EXECUTING
        )
        rules = self._rules_stored
        if world.limit is not None and busy.total() >= world.limit:
            return set()
        return {
            run.id
            for run in tables.runs.values()
            if run.ready
            and run.task in world.current_tasks()
            and room[world.kind_of(run.task)] > 0
            and run.queue not in rules.paused
            and busy[run.queue, run.concurrency_key]
            < (2**30 if (limit := rules.limit(run.queue)) is None else limit)
        }
