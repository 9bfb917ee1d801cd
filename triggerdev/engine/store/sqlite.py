"""The embedded store: SQLite in WAL mode with synchronous=FULL, one writer, one reader."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from triggerdev import _json
from triggerdev.engine.model import (
    FINAL,
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
from triggerdev.engine.store import filelock, sqlfile
from triggerdev.engine.store import rows as convert
from triggerdev.engine.store import sqlite_opening as opening
from triggerdev.engine.store.protocol import IdempotencyRow, OpRow, Tx
from triggerdev.engine.store.sqlite_queues import SqliteQueues
from triggerdev.engine.store.sqlite_retention import SqliteRetention

_FINAL = _json.dumps(sorted(FINAL))
_PUBLIC_TO_STORED: dict[str, list[str]] = {}
for _status in Status:
    _PUBLIC_TO_STORED.setdefault(_status.public_name, []).append(_status.value)


class SqliteStore:
    """A store in one file. `open` refuses a file that another engine holds and names that one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    def open(self) -> None:
        """Lock, connect and create the schema.

        Raises AlreadyRunningError when another engine holds the file, StorageDamagedError when it is no sound
        database, EnvironmentProblemError when it cannot be written or a newer version wrote it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.take(self.path.with_suffix(".lock"), str(self.path))
            opening.check(self.path)
            self._writer = opening.connect(self.path)
            opening.migrate(self._writer, self.path)
            self._reader = opening.connect(self.path)
        except opening.FAILURES as error:
            self.close()
            raise opening.explain(error, self.path) from error
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        """Open a transaction that commits durably at the end and rolls back on an exception."""
        assert self._writer is not None, "the store is not open"
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield SqliteTx(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            _roll_back(connection)
            if isinstance(error, opening.FAILURES):
                raise opening.explain(error, self.path) from error
            raise

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """Open a snapshot for reading, beside the writer."""
        assert self._reader is not None, "the store is not open"
        try:
            self._reader.execute("BEGIN")
            yield SqliteTx(self._reader)
            self._reader.execute("COMMIT")
        except BaseException as error:
            _roll_back(self._reader)
            if isinstance(error, opening.FAILURES):
                raise opening.explain(error, self.path) from error
            raise

    def close(self) -> None:
        """Close the connections and give the lock back; safe to call twice."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction without a trace; of a damaged file, even that may fail."""
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


class SqliteTx(SqliteQueues, SqliteRetention):
    """One transaction on a connection; implements `store.protocol.Tx`."""

    _sql = sqlfile.load("sqlite")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def _run(self, name: str, *values: Any) -> sqlite3.Cursor:
        return self._db.execute(self._sql[name], values)

    def _many(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._db.executemany(self._sql[name], rows)

    # -- runs -----------------------------------------------------------------------------------

    def insert_runs(self, runs: Sequence[Run]) -> None:
        self._many("insert_run", map(convert.new_run, runs))

    def get_runs(self, ids: Iterable[str]) -> dict[str, Run]:
        wanted = list(ids)
        if len(wanted) == 1:
            rows = self._run("get_run", wanted[0])
        else:
            rows = self._run("get_runs", _json.dumps(wanted))
        return {run.id: run for run in map(convert.run, rows)}

    def update_runs(self, runs: Sequence[Run]) -> None:
        self._many("update_run", map(convert.changed_run, runs))

    def update_inputs(self, runs: Sequence[Run]) -> None:
        """Write payload and limits anew, which `update_runs` leaves as they are."""
        self._many("update_input", map(convert.changed_input, runs))

    def due_runs(self, now: int, limit: int) -> list[Run]:
        return list(map(convert.run, self._run("due_runs", now, limit)))

    def executing_runs(self, worker: str | None, limit: int) -> list[Run]:
        return list(map(convert.run, self._run("executing_runs", worker, limit)))

    def children(self, parent_id: str, limit: int) -> list[Run]:
        return list(map(convert.run, self._run("children", parent_id, limit)))

    def uncancelled_children(self, parent_id: str, limit: int) -> list[Run]:
        """List the children that are neither final nor being cancelled."""
        return list(map(convert.run, self._run("uncancelled_children", parent_id, _FINAL, limit)))

    def list_runs(self, where: RunFilter, size: int, after: int | None, before: int | None) -> list[Run]:
        stored = [value for name in where.status for value in _PUBLIC_TO_STORED.get(name, [name])]
        values = {
            "status": _list(stored),
            "task": _list(where.task),
            "version": _list(where.version),
            "queue": _list(where.queue),
            "machine": _list(where.machine),
            "tag": _list(where.tag),
            "batch": where.batch,
            "schedule": where.schedule,
            "is_test": where.is_test,
            "created_from": where.created_from,
            "created_to": where.created_to,
            "size": size,
            "after": after,
            "before": before,
        }
        name = "list_runs_newest" if before is None else "list_runs_before"
        runs = list(map(convert.run, self._db.execute(self._sql[name], values)))
        return runs if before is None else runs[::-1]

    # -- operations of attempts ------------------------------------------------------------------

    def get_ops(self, run_id: str, attempt: int) -> list[OpRow]:
        return list(map(convert.op, self._run("get_ops", run_id, attempt)))

    def get_op(self, run_id: str, attempt: int, op: str) -> OpRow | None:
        row = self._run("get_op", run_id, attempt, op).fetchone()
        return convert.op(row) if row else None

    def take_fresh_ops(self, run_id: str, attempt: int) -> list[OpRow]:
        """List the operations that were completed after their record was made, each once."""
        found = list(map(convert.op, self._run("fresh_ops", run_id, attempt)))
        if found:
            self._run("forget_fresh_ops", run_id, attempt)
        return found

    def insert_ops(self, ops: Sequence[OpRow]) -> None:
        self._many("insert_op", map(convert.new_op, ops))

    def complete_ops(self, ops: Sequence[OpRow]) -> None:
        self._many("complete_op", map(convert.completed_op, ops))

    def pending_ops(self, refs: Sequence[str]) -> list[OpRow]:
        if self._run("any_pending_ops").fetchone() is None:
            return []
        return list(map(convert.op, self._run("pending_ops", _json.dumps(list(refs)))))

    def due_ops(self, now: int, limit: int) -> list[OpRow]:
        return list(map(convert.op, self._run("due_ops", now, limit)))

    def delete_ops(self, run_ids: Sequence[str]) -> None:
        self._run("delete_ops", _json.dumps(list(run_ids)))

    # -- batches -----------------------------------------------------------------------------------

    def insert_batch(self, batch: Batch, idempotency_expires_at: int | None) -> None:
        self._run("insert_batch", *convert.new_batch(batch, idempotency_expires_at))

    def get_batches(self, ids: Iterable[str]) -> dict[str, Batch]:
        rows = self._run("get_batches", _json.dumps(list(ids)))
        return {batch.id: batch for batch in map(convert.batch, rows)}

    def batch_by_key(self, key: str, now: int) -> Batch | None:
        row = self._run("batch_by_key", key, now).fetchone()
        return convert.batch(row) if row else None

    def update_batches(self, batches: Sequence[Batch]) -> None:
        rows = (
            (b.updated_at, b.sealed, b.accepted, b.remaining, b.status, b.completed_at, b.id) for b in batches
        )
        self._many("update_batch", rows)

    def insert_batch_items(self, batch_id: str, items: Sequence[tuple[int, str | None]]) -> None:
        self._many("insert_batch_item", ((batch_id, item, run_id) for item, run_id in items))

    def insert_batch_errors(self, batch_id: str, problems: Sequence[BatchError]) -> None:
        self._many("insert_batch_error", ((batch_id, p.index, p.task, p.error) for p in problems))

    def batch_indexes(self, batch_id: str) -> set[int]:
        return {item for item, _ in self.batch_items(batch_id)}

    def batch_items(self, batch_id: str) -> list[tuple[int, str | None]]:
        return self._run("batch_items", batch_id).fetchall()

    def batch_errors(self, batch_id: str) -> list[BatchError]:
        return [BatchError(*row) for row in self._run("batch_errors", batch_id)]

    def watch_for_batch(self, run_id: str, batch_id: str) -> None:
        self._run("watch_for_batch", run_id, batch_id)

    def take_watchers(self, run_ids: Sequence[str]) -> list[str]:
        ids = _json.dumps(list(run_ids))
        found = [batch_id for batch_id, n in self._run("batch_watchers", ids) for _ in range(n)]
        if found:
            self._run("delete_watchers", ids)
        return found

    def stale_batches(self, created_before: int) -> list[Batch]:
        return list(map(convert.batch, self._run("stale_batches", created_before)))

    # -- idempotency keys, workers, counters -------------------------------------------------------

    def get_keys(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], IdempotencyRow]:
        rows = (self._run("get_key", task, key).fetchone() for task, key in pairs)
        return {(row[0], row[1]): IdempotencyRow(*row) for row in rows if row}

    def put_keys(self, rows: Sequence[IdempotencyRow]) -> None:
        self._many("put_key", ((row.task, row.key, row.run_id, row.expires_at) for row in rows))

    def leave_worker(self, worker: str | None) -> None:
        """Note that no run is parked at a worker any more (None: at any)."""
        self._run("leave_worker", worker)

    def put_worker(self, worker: str, lease_until: int) -> None:
        self._run("put_worker", worker, lease_until)

    def delete_worker(self, worker: str) -> None:
        self._run("delete_worker", worker)

    def expired_workers(self, now: int) -> list[str]:
        return [row[0] for row in self._run("expired_workers", now)]

    def count_up(self, name: str) -> int:
        value: int = self._run("count_up", name).fetchone()[0]
        return value

    # -- tokens --------------------------------------------------------------------------------------

    def insert_token(self, token: Token) -> None:
        self._run("insert_token", *convert.new_token(token))

    def get_token(self, token_id: str) -> Token | None:
        row = self._run("get_token", token_id).fetchone()
        return convert.token(row) if row else None

    def token_by_key(self, key: str, now: int) -> Token | None:
        row = self._run("token_by_key", key, now).fetchone()
        return convert.token(row) if row else None

    def update_token(self, token: Token) -> None:
        t = token
        self._run("update_token", t.status, t.completed_at, t.output, t.output_type, t.output_is_error, t.id)

    def due_tokens(self, now: int, limit: int) -> list[Token]:
        return list(map(convert.token, self._run("due_tokens", now, limit)))

    def list_tokens(
        self, where: TokenFilter, size: int, after: str | None, before: str | None
    ) -> list[Token]:
        values = {
            "status": _list(where.status),
            "key": where.idempotency_key,
            "tag": _list(where.tags),
            "created_from": where.created_from,
            "created_to": where.created_to,
            "size": size,
            "after": after,
            "before": before,
        }
        name = "list_tokens_newest" if before is None else "list_tokens_before"
        tokens = list(map(convert.token, self._db.execute(self._sql[name], values)))
        return tokens if before is None else tokens[::-1]

    # -- schedules, logs, spans, time ------------------------------------------------------------------------

    def schedules(self, kind: str | None = None) -> list[Schedule]:
        return list(map(convert.schedule, self._run("schedules", kind)))

    def get_schedule(self, schedule_id: str) -> Schedule | None:
        return next(map(convert.schedule, self._run("get_schedule", schedule_id)), None)

    def schedule_by_key(self, key: str) -> Schedule | None:
        return next(map(convert.schedule, self._run("schedule_by_key", key)), None)

    def list_schedules(self, size: int, offset: int) -> list[Schedule]:
        return list(map(convert.schedule, self._run("list_schedules", size, offset)))

    def count_schedules(self) -> int:
        return int(self._run("count_schedules").fetchone()[0])

    def put_schedule(self, schedule: Schedule) -> None:
        self._run("put_schedule", *convert.new_schedule(schedule))

    def delete_schedule(self, schedule_id: str) -> None:
        self._run("delete_schedule", schedule_id)

    def due_schedules(self, now: int, tasks: Sequence[str], limit: int) -> list[Schedule]:
        return list(map(convert.schedule, self._run("due_schedules", now, _json.dumps(list(tasks)), limit)))

    def variables(self) -> list[Variable]:
        return list(map(convert.variable, self._run("variables")))

    def put_variable(self, variable: Variable) -> None:
        row = (variable.name, variable.value, variable.is_secret, variable.updated_at)
        self._run("put_variable", *row)

    def delete_variable(self, name: str) -> None:
        self._run("delete_variable", name)

    def append_logs(self, entries: Sequence[LogEntry]) -> None:
        self._many("append_log", map(convert.new_log, entries))

    def read_logs(self, run_id: str, after_seq: int, limit: int) -> list[LogEntry]:
        rows = self._run("read_logs", run_id, after_seq, limit)
        return [convert.log(row) for row in rows]

    def put_spans(self, spans: Sequence[Span]) -> None:
        self._many("put_span", map(convert.new_span, spans))

    def read_spans(self, run_ids: Sequence[str], limit: int) -> list[Span]:
        """Read spans of runs, the earliest first."""
        return [convert.span(row) for row in self._run("read_spans", _json.dumps(list(run_ids)), limit)]

    def open_spans(self, run_id: str, attempt: int) -> dict[str, int]:
        """Tell since when the spans of an attempt that have not ended last, in ns."""
        return dict(self._run("open_spans", run_id, attempt))

    def next_due(self, *, scheduled: Sequence[str]) -> int | None:
        due: int | None = self._run("next_due", _json.dumps(list(scheduled))).fetchone()[0]
        return due


def _list(values: Sequence[str]) -> str | None:
    return _json.dumps(list(values)) if values else None
