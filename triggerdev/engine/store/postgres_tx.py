"""One transaction of the PostgreSQL store; implements `store.shared.SharedTx`."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
from triggerdev.engine.store import postgres_rows as convert
from triggerdev.engine.store import sqlfile
from triggerdev.engine.store.postgres_connection import Connection, LostRaceError
from triggerdev.engine.store.postgres_queues import PostgresQueues
from triggerdev.engine.store.postgres_retention import PostgresRetention
from triggerdev.engine.store.protocol import IdempotencyRow, OpRow
from triggerdev.protocol import Message

_FINAL = sorted(FINAL)
_LONGEST_INDEXED_KEY = 512
_PUBLIC_TO_STORED: dict[str, list[str]] = {}
for _status in Status:
    _PUBLIC_TO_STORED.setdefault(_status.public_name, []).append(_status.value)

Row = tuple[Any, ...]


class PostgresTx(PostgresQueues, PostgresRetention):
    """Reads of single rows lock them if `locks`. `wrote` tells whether there is anything to commit."""

    sql: Mapping[str, str] = sqlfile.load("postgres")

    def __init__(self, connection: Connection, schema: str, *, locks: bool) -> None:
        self._db = connection
        self._schema = schema
        self._locks = "_locked" if locks else ""
        self._keys_seen: dict[tuple[str, str], str | None] = {}
        self._leases_held: dict[str, bool] = {}
        self.wrote = False

    def rows(self, name: str, *values: Any) -> list[Row]:
        """Run a query that changes nothing."""
        return self._db.execute(self.sql[name], values).fetchall()

    def _one(self, name: str, *values: Any) -> Row | None:
        return self._db.execute(self.sql[name], values).fetchone()

    def _runs(self, name: str, *values: Any) -> list[Run]:
        return list(map(convert.run, self.rows(name, *values)))

    def _write(self, name: str, *values: Any) -> int:
        count = self._db.execute(self.sql[name], values).rowcount
        self.wrote = self.wrote or count > 0
        return count

    def _many(self, name: str, rows: Iterable[Row]) -> int:
        values = list(rows)
        if len(values) == 1:
            return self._write(name, *values[0])
        cursor = self._db.cursor()
        cursor.executemany(self.sql[name], values)
        self.wrote = True
        return cursor.rowcount

    # -- runs -----------------------------------------------------------------------------------

    def insert_runs(self, runs: Sequence[Run]) -> None:
        self._many("insert_run", map(convert.new_run, runs))

    def get_runs(self, ids: Iterable[str]) -> dict[str, Run]:
        return {run.id: run for run in self._runs("get_runs" + self._locks, list(ids))}

    def update_runs(self, runs: Sequence[Run]) -> None:
        self._many("update_run", map(convert.changed_run, runs))

    def update_inputs(self, runs: Sequence[Run]) -> None:
        """Write payload and limits anew, which `update_runs` leaves as they are."""
        self._many("update_input", map(convert.changed_input, runs))

    def due_runs(self, now: int, limit: int) -> list[Run]:
        return self._runs("due_runs", now, limit)

    def executing_runs(self, worker: str | None, limit: int) -> list[Run]:
        return self._runs("executing_runs", worker, worker, limit)

    def children(self, parent_id: str, limit: int) -> list[Run]:
        return self._runs("children", parent_id, limit)

    def uncancelled_children(self, parent_id: str, limit: int) -> list[Run]:
        """List the children that are neither final nor being cancelled."""
        return self._runs("uncancelled_children", parent_id, _FINAL, limit)

    def list_runs(self, where: RunFilter, size: int, after: int | None, before: int | None) -> list[Run]:
        stored = [value for name in where.status for value in _PUBLIC_TO_STORED.get(name, [name])]
        values = {
            "status": stored or None,
            "task": where.task or None,
            "version": where.version or None,
            "queue": where.queue or None,
            "machine": where.machine or None,
            "tag": _json_texts(where.tag),
            "batch": where.batch,
            "schedule": where.schedule,
            "is_test": where.is_test,
            "created_from": where.created_from,
            "created_to": where.created_to,
            "size": size,
            "after": after,
            "before": before,
        }
        return list(map(convert.run, self._page("list_runs", values)))

    def _page(self, name: str, values: dict[str, Any]) -> list[Row]:
        """Read a page of a listing, newest first."""
        is_newest = values["before"] is None
        name += "_newest" if is_newest else "_before"
        found = self._db.execute(self.sql[name], values, prepare=False).fetchall()
        return found if is_newest else found[::-1]

    # -- operations of attempts ------------------------------------------------------------------

    def get_ops(self, run_id: str, attempt: int) -> list[OpRow]:
        return list(map(convert.op, self.rows("get_ops", run_id, attempt)))

    def get_op(self, run_id: str, attempt: int, op: str) -> OpRow | None:
        row = self._one("get_op", run_id, attempt, op)
        return convert.op(row) if row else None

    def take_fresh_ops(self, run_id: str, attempt: int) -> list[OpRow]:
        """List the operations that were completed after their record was made, each once."""
        found = list(map(convert.op, self.rows("take_fresh_ops", run_id, attempt)))
        self.wrote = self.wrote or bool(found)
        return found

    def insert_ops(self, ops: Sequence[OpRow]) -> None:
        self._many("insert_op", map(convert.new_op, ops))

    def complete_ops(self, ops: Sequence[OpRow]) -> None:
        self._many("complete_op", map(convert.completed_op, ops))

    def pending_ops(self, refs: Sequence[str]) -> list[OpRow]:
        return list(map(convert.op, self.rows("pending_ops", list(refs))))

    def due_ops(self, now: int, limit: int) -> list[OpRow]:
        return list(map(convert.op, self.rows("due_ops", now, limit)))

    def delete_ops(self, run_ids: Sequence[str]) -> None:
        self._write("delete_ops", list(run_ids))

    # -- batches -----------------------------------------------------------------------------------

    def insert_batch(self, batch: Batch, idempotency_expires_at: int | None) -> None:
        self._write("insert_batch", *convert.new_batch(batch, idempotency_expires_at))

    def get_batches(self, ids: Iterable[str]) -> dict[str, Batch]:
        rows = self.rows("get_batches" + self._locks, list(ids))
        return {batch.id: batch for batch in map(convert.batch, rows)}

    def batch_by_key(self, key: str, now: int) -> Batch | None:
        self._lock_name("batch", key)
        row = self._one("batch_by_key", key, now)
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
        return [(item, run_id) for item, run_id in self.rows("batch_items", batch_id)]

    def batch_errors(self, batch_id: str) -> list[BatchError]:
        return [BatchError(*row) for row in self.rows("batch_errors", batch_id)]

    def watch_for_batch(self, run_id: str, batch_id: str) -> None:
        self._write("watch_for_batch", run_id, batch_id)

    def take_watchers(self, run_ids: Sequence[str]) -> list[str]:
        found = self.rows("take_watchers", list(run_ids))
        self.wrote = self.wrote or bool(found)
        return [batch_id for batch_id, n in found for _ in range(n)]

    def stale_batches(self, created_before: int) -> list[Batch]:
        return list(map(convert.batch, self.rows("stale_batches", created_before)))

    # -- idempotency keys, workers, counters -------------------------------------------------------

    def get_keys(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], IdempotencyRow]:
        stored = {(task, _stored_key(key)): (task, key) for task, key in pairs}
        tasks, keys = [task for task, _ in stored], [key for _, key in stored]
        found = {}
        for task, key, run_id, expires_at in self.rows("get_keys", tasks, keys):
            pair = stored[task, key]
            found[pair] = IdempotencyRow(*pair, run_id, expires_at)
        for pair in stored.values():
            self._keys_seen[pair] = found[pair].run_id if pair in found else None
        return found

    def put_keys(self, rows: Sequence[IdempotencyRow]) -> None:
        seen = self._keys_seen
        values = [
            (row.task, _stored_key(row.key), row.run_id, row.expires_at, seen.get((row.task, row.key)))
            for row in rows
        ]
        if self._many("put_key", values) != len(values):
            raise LostRaceError("an idempotency key was taken by another server")
        for row in rows:
            seen[row.task, row.key] = row.run_id

    def leave_worker(self, worker: str | None) -> None:
        """Note that no run is parked at a worker any more (None: at any)."""
        self._write("leave_worker", worker, worker)

    def put_worker(self, worker: str, lease_until: int) -> None:
        self._leases_held.pop(worker, None)
        self._write("put_worker", worker, lease_until)

    def end_stalled(self, seconds: float) -> int:
        """End other servers' transactions that have been open for so long; returns how many there were."""
        return len(self.rows("end_stalled", seconds))

    def renew_lease(self, worker: str, until: int) -> bool:
        self._leases_held.pop(worker, None)
        return self._write("renew_lease", until, worker) > 0

    def holds_lease(self, worker: str) -> bool:
        """Tell if a worker has its lease, which nobody can take until the transaction ends."""
        if worker not in self._leases_held:
            self._leases_held[worker] = self._one("hold_lease", worker) is not None
        return self._leases_held[worker]

    def delete_worker(self, worker: str) -> None:
        self._leases_held.pop(worker, None)
        self._write("delete_mail", worker)
        self._write("delete_worker", worker)

    def expired_workers(self, now: int) -> list[str]:
        return [row[0] for row in self.rows("expired_workers", now)]

    def count_up(self, name: str) -> int:
        self.wrote = True
        row = self._one("count_up", name)
        assert row is not None
        return int(row[0])

    # -- tokens --------------------------------------------------------------------------------------

    def insert_token(self, token: Token) -> None:
        self._write("insert_token", *convert.new_token(token))

    def get_token(self, token_id: str) -> Token | None:
        row = self._one("get_token" + self._locks, token_id)
        return convert.token(row) if row else None

    def token_by_key(self, key: str, now: int) -> Token | None:
        self._lock_name("token", key)
        row = self._one("token_by_key" + self._locks, key, now)
        return convert.token(row) if row else None

    def update_token(self, token: Token) -> None:
        t = token
        output = convert.pack(t.output)
        self._write("update_token", t.status, t.completed_at, output, t.output_type, t.output_is_error, t.id)

    def due_tokens(self, now: int, limit: int) -> list[Token]:
        return list(map(convert.token, self.rows("due_tokens", now, limit)))

    def list_tokens(
        self, where: TokenFilter, size: int, after: str | None, before: str | None
    ) -> list[Token]:
        values = {
            "status": where.status or None,
            "key": where.idempotency_key,
            "tag": _json_texts(where.tags),
            "created_from": where.created_from,
            "created_to": where.created_to,
            "size": size,
            "after": after,
            "before": before,
        }
        return list(map(convert.token, self._page("list_tokens", values)))

    # -- schedules, logs, spans, time ------------------------------------------------------------------------

    def schedules(self, kind: str | None = None) -> list[Schedule]:
        return list(map(convert.schedule, self.rows("schedules" + self._locks, kind, kind)))

    def get_schedule(self, schedule_id: str) -> Schedule | None:
        row = self._one("get_schedule" + self._locks, schedule_id)
        return None if row is None else convert.schedule(row)

    def schedule_by_key(self, key: str) -> Schedule | None:
        row = self._one("schedule_by_key" + self._locks, key)
        return None if row is None else convert.schedule(row)

    def list_schedules(self, size: int, offset: int) -> list[Schedule]:
        return list(map(convert.schedule, self.rows("list_schedules", size, offset)))

    def count_schedules(self) -> int:
        row = self._one("count_schedules")
        return 0 if row is None else int(row[0])

    def put_schedule(self, schedule: Schedule) -> None:
        self._write("put_schedule", *convert.new_schedule(schedule))

    def delete_schedule(self, schedule_id: str) -> None:
        self._write("delete_schedule", schedule_id)

    def due_schedules(self, now: int, tasks: Sequence[str], limit: int) -> list[Schedule]:
        return list(map(convert.schedule, self.rows("due_schedules", now, list(tasks), limit)))

    def variables(self) -> list[Variable]:
        return list(map(convert.variable, self.rows("variables")))

    def put_variable(self, variable: Variable) -> None:
        row = (variable.name, variable.value, variable.is_secret, variable.updated_at)
        self._write("put_variable", *row)

    def delete_variable(self, name: str) -> None:
        self._write("delete_variable", name)

    def append_logs(self, entries: Sequence[LogEntry]) -> None:
        self._many("append_log", map(convert.new_log, entries))

    def read_logs(self, run_id: str, after_seq: int, limit: int) -> list[LogEntry]:
        return [convert.log(row) for row in self.rows("read_logs", run_id, after_seq, limit)]

    def put_spans(self, spans: Sequence[Span]) -> None:
        self._many("put_span", map(convert.new_span, spans))

    def read_spans(self, run_ids: Sequence[str], limit: int) -> list[Span]:
        """Read spans of runs, the earliest first."""
        return [convert.span(row) for row in self.rows("read_spans", list(run_ids), limit)]

    def open_spans(self, run_id: str, attempt: int) -> dict[str, int]:
        """Tell since when the spans of an attempt that have not ended last, in ns."""
        return {row[0]: row[1] for row in self.rows("open_spans", run_id, attempt)}

    def next_due(self, *, scheduled: Sequence[str]) -> int | None:
        row = self._one("next_due", list(scheduled))
        return None if row is None else row[0]

    # -- between servers ------------------------------------------------------------------------------

    def send_mail(self, messages: Sequence[tuple[str, Message]]) -> None:
        """Leave messages for workers that are connected to other servers."""
        self._many("send_mail", ((worker, _json.dumps(message)) for worker, message in messages))

    def take_mail(self, workers: Sequence[str]) -> list[tuple[str, Message]]:
        """Take what other servers left for workers, in order, each message once."""
        found = self.rows("take_mail", list(workers))
        self.wrote = self.wrote or bool(found)
        return [(worker, _json.loads(text)) for worker, text in found]

    def _lock_name(self, kind: str, name: str) -> None:
        if self._locks:
            self.rows("lock_name", self._lock_label(kind, name))


def _json_texts(values: Sequence[str]) -> list[str] | None:
    """Write texts as they stand in a list of JSON, so that those with escapes can be compared unread."""
    return [_json.dumps(value) for value in values] or None


def _stored_key(key: str) -> str:
    """Shorten a key that would not fit into an index."""
    if len(key) <= _LONGEST_INDEXED_KEY:
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
