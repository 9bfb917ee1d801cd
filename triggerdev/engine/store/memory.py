"""The store in memory: the protocol in plain dicts and obvious code.

Users' tests run on it (`triggerdev.testing`), and the stores on disk are compared with it, so it shares no
code with them. Nothing survives the process.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence

from triggerdev import errors
from triggerdev.engine.model import (
    Batch,
    BatchError,
    LogEntry,
    Run,
    RunFilter,
    Schedule,
    Span,
    Status,
    Token,
    TokenFilter,
    Variable,
)
from triggerdev.engine.store import memory_queries as queries
from triggerdev.engine.store.memory_queues import MemoryQueues
from triggerdev.engine.store.memory_retention import MemoryRetention
from triggerdev.engine.store.memory_tables import BatchRow, Tables, Unit, frozen, thawed
from triggerdev.engine.store.protocol import IdempotencyRow, OpRow, Tx


class MemoryStore:
    """A store that keeps everything in this object; closed and opened again it still has it."""

    def __init__(self) -> None:
        self._committed = Tables()
        self._writing = threading.Lock()
        self._is_open = False

    def open(self) -> None:
        """Take the store for one engine. Raises AlreadyRunningError if another one has it."""
        if self._is_open:
            raise errors.AlreadyRunningError("Another engine already runs on this store. Stop it first.")
        self._is_open = True

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        """Open a transaction that is seen by others at its end, and not at all after an exception."""
        with self._writing:
            unit = Unit(self._committed)
            try:
                yield MemoryTx(unit)
            except UnicodeEncodeError as error:
                raise errors.InvalidOptionError(
                    f"Text with half a surrogate pair cannot be stored ({error.reason})."
                ) from error
            self._committed = unit.tables

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """Look at what is committed now; later commits are not seen."""
        yield MemoryTx(Unit(self._committed))

    def close(self) -> None:
        """Give the store back; safe to call twice."""
        self._is_open = False


class MemoryTx(MemoryQueues, MemoryRetention):
    """One transaction; implements `store.protocol.Tx`."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    @property
    def _now(self) -> Tables:
        return self._unit.tables

    # -- runs -----------------------------------------------------------------------------------

    def insert_runs(self, runs: Sequence[Run]) -> None:
        table = self._unit.change("runs")
        for run in runs:
            assert run.id not in table, run.id
            last: Run | None = next(reversed(table.values()), None)
            kept = table[run.id] = frozen(run)
            kept.seq = last.seq + 1 if last else 1
            kept.concurrency_key = run.concurrency_key or None

    def get_runs(self, ids: Iterable[str]) -> dict[str, Run]:
        runs = self._now.runs
        return {run_id: thawed(runs[run_id]) for run_id in ids if run_id in runs}

    def update_runs(self, runs: Sequence[Run]) -> None:
        table = self._unit.change("runs")
        for run in runs:
            known = table.get(run.id)
            if known is not None and known.seq == run.seq:
                table[run.id] = frozen(run)

    def update_inputs(self, runs: Sequence[Run]) -> None:
        table = self._unit.change("runs")
        for run in runs:
            known = table.get(run.id)
            if known is not None and known.seq == run.seq:
                kept = table[run.id] = frozen(known)
                kept.payload, kept.payload_type = run.payload, run.payload_type
                kept.max_attempts, kept.max_duration_ms = run.max_attempts, run.max_duration_ms

    def due_runs(self, now: int, limit: int) -> list[Run]:
        due = [run for run in self._now.runs.values() if run.due_at is not None and run.due_at <= now]
        due.sort(key=lambda run: (run.due_at, run.seq))
        return list(map(thawed, due[:limit]))

    def executing_runs(self, worker: str | None, limit: int) -> list[Run]:
        found = [
            run
            for run in self._now.runs.values()
            if run.status is Status.EXECUTING and worker in (None, run.worker)
        ]
        return list(map(thawed, found[:limit]))

    def children(self, parent_id: str, limit: int) -> list[Run]:
        found = [run for run in self._now.runs.values() if run.parent_id == parent_id]
        return list(map(thawed, found[:limit]))

    def uncancelled_children(self, parent_id: str, limit: int) -> list[Run]:
        found = [
            run
            for run in self._now.runs.values()
            if run.parent_id == parent_id and not run.status.is_final and not run.cancel_requested
        ]
        return list(map(thawed, found[:limit]))

    def list_runs(self, where: RunFilter, size: int, after: int | None, before: int | None) -> list[Run]:
        found = [run for run in self._now.runs.values() if queries.matches(run, where)]
        return list(map(thawed, queries.page(found, lambda run: run.seq, size, after, before)))

    # -- operations of attempts ------------------------------------------------------------------

    def get_ops(self, run_id: str, attempt: int) -> list[OpRow]:
        found = [op for op in self._now.ops.values() if (op.run_id, op.attempt) == (run_id, attempt)]
        found.sort(key=lambda op: op.n)
        return list(map(thawed, found))

    def get_op(self, run_id: str, attempt: int, op: str) -> OpRow | None:
        found = self._now.ops.get((run_id, attempt, op))
        return thawed(found) if found is not None else None

    def take_fresh_ops(self, run_id: str, attempt: int) -> list[OpRow]:
        fresh = [op for op in self.get_ops(run_id, attempt) if (run_id, attempt, op.op) in self._now.fresh]
        fresh.sort(key=lambda op: op.done_at or 0)
        for op in fresh:
            del self._unit.change("fresh")[run_id, attempt, op.op]
        return fresh

    def insert_ops(self, ops: Sequence[OpRow]) -> None:
        table = self._unit.change("ops")
        for op in ops:
            key = op.run_id, op.attempt, op.op
            assert key not in table, key
            kept = table[key] = frozen(op)
            kept.result = op.result if op.done else None

    def complete_ops(self, ops: Sequence[OpRow]) -> None:
        table = self._unit.change("ops")
        for op in ops:
            key = op.run_id, op.attempt, op.op
            if key in table:
                kept = frozen(table[key])
                kept.done, kept.due_at, kept.result, kept.done_at = True, None, frozen(op).result, op.done_at
                table[key] = kept
                self._unit.change("fresh")[key] = True

    def pending_ops(self, refs: Sequence[str]) -> list[OpRow]:
        found = [op for op in self._now.ops.values() if not op.done and op.ref in refs]
        found.sort(key=lambda op: (op.ref, op.run_id, op.attempt, op.op))
        return list(map(thawed, found))

    def due_ops(self, now: int, limit: int) -> list[OpRow]:
        found = [
            op for op in self._now.ops.values() if not op.done and op.due_at is not None and op.due_at <= now
        ]
        found.sort(key=lambda op: (op.due_at, op.run_id, op.attempt, op.op))
        return list(map(thawed, found[:limit]))

    def delete_ops(self, run_ids: Sequence[str]) -> None:
        for name in ("ops", "fresh"):
            table = self._unit.change(name)
            for key in [key for key in table if key[0] in run_ids]:
                del table[key]

    # -- batches -----------------------------------------------------------------------------------

    def insert_batch(self, batch: Batch, idempotency_expires_at: int | None) -> None:
        table = self._unit.change("batches")
        assert batch.id not in table, batch.id
        table[batch.id] = BatchRow(_bare(batch), idempotency_expires_at)

    def get_batches(self, ids: Iterable[str]) -> dict[str, Batch]:
        known = self._now.batches
        return {batch_id: thawed(known[batch_id].batch) for batch_id in ids if batch_id in known}

    def batch_by_key(self, key: str, now: int) -> Batch | None:
        found = [
            row.batch
            for row in self._now.batches.values()
            if row.batch.idempotency_key == key
            and row.key_expires_at is not None
            and row.key_expires_at > now
            and row.batch.status != "ABORTED"
        ]
        return thawed(max(found, key=lambda batch: batch.created_at)) if found else None

    def update_batches(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._batch_row(batch.id).batch = _bare(batch)

    def insert_batch_items(self, batch_id: str, items: Sequence[tuple[int, str | None]]) -> None:
        self._batch_row(batch_id).items.update(items)

    def insert_batch_errors(self, batch_id: str, problems: Sequence[BatchError]) -> None:
        self._batch_row(batch_id).errors.update({p.index: (p.task, p.error) for p in map(frozen, problems)})

    def _batch_row(self, batch_id: str) -> BatchRow:
        """Replace a batch's row by a copy that may be changed, and give that."""
        table = self._unit.change("batches")
        old: BatchRow = table[batch_id]
        row = BatchRow(old.batch, old.key_expires_at, dict(old.items), dict(old.errors))
        table[batch_id] = row
        return row

    def batch_indexes(self, batch_id: str) -> set[int]:
        return {index for index, _ in self.batch_items(batch_id)}

    def batch_items(self, batch_id: str) -> list[tuple[int, str | None]]:
        row = self._now.batches.get(batch_id)
        return sorted(row.items.items(), key=lambda item: item[0]) if row else []

    def batch_errors(self, batch_id: str) -> list[BatchError]:
        row = self._now.batches.get(batch_id)
        return [BatchError(index, *row.errors[index]) for index in sorted(row.errors)] if row else []

    def watch_for_batch(self, run_id: str, batch_id: str) -> None:
        table = self._unit.change("watchers")
        table[run_id, batch_id] = table.get((run_id, batch_id), 0) + 1

    def take_watchers(self, run_ids: Sequence[str]) -> list[str]:
        table = self._unit.change("watchers")
        pairs = [pair for pair in table if pair[0] in run_ids]
        return [batch_id for run_id, batch_id in pairs for _ in range(table.pop((run_id, batch_id)))]

    def stale_batches(self, created_before: int) -> list[Batch]:
        found = [row.batch for row in self._now.batches.values()]
        stale = [b for b in found if not b.sealed and b.status == "PENDING" and b.created_at < created_before]
        stale.sort(key=lambda batch: (batch.created_at, batch.id))
        return list(map(thawed, stale[:100]))

    # -- idempotency keys, workers, counters -------------------------------------------------------

    def get_keys(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], IdempotencyRow]:
        known = self._now.keys
        return {pair: thawed(known[pair]) for pair in pairs if pair in known}

    def put_keys(self, rows: Sequence[IdempotencyRow]) -> None:
        self._unit.change("keys").update({(row.task, row.key): frozen(row) for row in rows})

    def leave_worker(self, worker: str | None) -> None:
        table = self._unit.change("runs")
        for run in list(table.values()):
            is_parked = run.worker is not None and run.status is not Status.EXECUTING
            if is_parked and worker in (None, run.worker):
                kept = table[run.id] = frozen(run)
                kept.worker = None

    def put_worker(self, worker: str, lease_until: int) -> None:
        self._unit.change("workers")[worker] = lease_until

    def delete_worker(self, worker: str) -> None:
        self._unit.change("workers").pop(worker, None)

    def expired_workers(self, now: int) -> list[str]:
        return sorted(worker for worker, until in self._now.workers.items() if until < now)

    def count_up(self, name: str) -> int:
        table = self._unit.change("counters")
        value: int = table.get(name, 0) + 1
        table[name] = value
        return value

    # -- tokens --------------------------------------------------------------------------------------

    def insert_token(self, token: Token) -> None:
        table = self._unit.change("tokens")
        assert token.id not in table, token.id
        table[token.id] = frozen(token)

    def get_token(self, token_id: str) -> Token | None:
        found = self._now.tokens.get(token_id)
        return thawed(found) if found is not None else None

    def token_by_key(self, key: str, now: int) -> Token | None:
        found = [
            token
            for token in self._now.tokens.values()
            if token.idempotency_key == key
            and (token.idempotency_expires_at is None or token.idempotency_expires_at > now)
        ]
        return thawed(max(found, key=lambda token: (token.created_at, token.id))) if found else None

    def update_token(self, token: Token) -> None:
        table = self._unit.change("tokens")
        if token.id in table:
            table[token.id] = frozen(token)

    def due_tokens(self, now: int, limit: int) -> list[Token]:
        waiting = [token for token in self._now.tokens.values() if token.status == "WAITING"]
        due = [token for token in waiting if token.timeout_at is not None and token.timeout_at <= now]
        due.sort(key=lambda token: (token.timeout_at, token.id))
        return list(map(thawed, due[:limit]))

    def list_tokens(
        self, where: TokenFilter, size: int, after: str | None, before: str | None
    ) -> list[Token]:
        found = [token for token in self._now.tokens.values() if queries.matches_token(token, where)]
        return list(map(thawed, queries.page(found, lambda token: token.id, size, after, before)))

    # -- schedules, logs, spans, time ------------------------------------------------------------------------

    def schedules(self, kind: str | None = None) -> list[Schedule]:
        found = sorted(self._now.schedules.values(), key=lambda each: (each.task, each.id))
        return [thawed(each) for each in found if kind in (None, each.type)]

    def get_schedule(self, schedule_id: str) -> Schedule | None:
        found = self._now.schedules.get(schedule_id)
        return None if found is None else thawed(found)

    def schedule_by_key(self, key: str) -> Schedule | None:
        return next((each for each in self.schedules() if each.deduplication_key == key), None)

    def list_schedules(self, size: int, offset: int) -> list[Schedule]:
        return self.schedules()[offset : offset + size]

    def count_schedules(self) -> int:
        return len(self._now.schedules)

    def put_schedule(self, schedule: Schedule) -> None:
        self._unit.change("schedules")[schedule.id] = frozen(schedule)

    def delete_schedule(self, schedule_id: str) -> None:
        self._unit.change("schedules").pop(schedule_id, None)

    def due_schedules(self, now: int, tasks: Sequence[str], limit: int) -> list[Schedule]:
        return list(map(thawed, queries.due_schedules(self._now, now, tasks)[:limit]))

    def variables(self) -> list[Variable]:
        found = self._now.variables
        return [thawed(found[name]) for name in sorted(found)]

    def put_variable(self, variable: Variable) -> None:
        self._unit.change("variables")[variable.name] = frozen(variable)

    def delete_variable(self, name: str) -> None:
        self._unit.change("variables").pop(name, None)

    def append_logs(self, entries: Sequence[LogEntry]) -> None:
        table = self._unit.change("logs")
        for entry in entries:
            kept = frozen(entry)
            kept.seq = next(reversed(table), 0) + 1
            kept.data = kept.data or None
            table[kept.seq] = kept

    def read_logs(self, run_id: str, after_seq: int, limit: int) -> list[LogEntry]:
        found = [entry for entry in self._now.logs.values() if entry.run == run_id and entry.seq > after_seq]
        return list(map(thawed, found[:limit]))

    def put_spans(self, spans: Sequence[Span]) -> None:
        table = self._unit.change("spans")
        for span in spans:
            kept, known = frozen(span), table.get((span.run, span.id))
            kept.attributes, kept.events = kept.attributes or None, kept.events or None
            if known is not None:
                if known.ended_ns is not None and span.ended_ns is None:
                    continue
                kept.started_ns = min(known.started_ns, span.started_ns)
                kept.attempt, kept.parent, kept.kind = known.attempt, known.parent, known.kind
            table[span.run, span.id] = kept

    def read_spans(self, run_ids: Sequence[str], limit: int) -> list[Span]:
        found = [span for span in self._now.spans.values() if span.run in run_ids]
        found.sort(key=lambda span: span.started_ns)
        return list(map(thawed, found[:limit]))

    def open_spans(self, run_id: str, attempt: int) -> dict[str, int]:
        return {
            span.id: span.started_ns
            for span in self._now.spans.values()
            if span.run == run_id and span.attempt == attempt and span.ended_ns is None
        }

    def next_due(self, *, scheduled: Sequence[str]) -> int | None:
        return queries.next_due(self._now, scheduled)


def _bare(batch: Batch) -> Batch:
    """Copy a batch without its runs and errors, which stand in rows of their own."""
    kept = frozen(batch)
    kept.runs, kept.errors = [], []
    return kept
