"""Queues and what to give out next, of the PostgreSQL store; a part of `PostgresTx`.

A claim takes few round trips, however many lanes there are, and locks that never wait, so that servers can
claim side by side.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from triggerdev.engine.model import Load, Queue, Run
from triggerdev.engine.store import claiming, postgres_rows
from triggerdev.engine.store import rows as convert
from triggerdev.engine.store.claiming import Want
from triggerdev.engine.store.postgres_connection import Connection
from triggerdev.engine.store.protocol import Capacity, Lane, Ready

Row = tuple[Any, ...]
_ALL = ("environment", "executing")


class PostgresQueues:
    _db: Connection
    _schema: str
    _locks: str
    sql: Mapping[str, str]
    wrote: bool

    def ready_runs(self, capacities: Sequence[Capacity], limit: int | None) -> Ready:
        """Choose and lock the runs to give out next within each capacity, each queue's limit and that of all.

        A limited queue from which another server claims at this moment is passed over; with a limit of all,
        everything is.
        """
        locks = [] if limit is None else [("try_locks", (["all"], [self._lock_label(*_ALL)]))]
        *held, heads, counts = self._at_once(*locks, ("ready_heads", ()), ("count_executing", ()))
        if not heads:
            return Ready([])
        if held == [[]]:
            return Ready([], is_cut=True)
        executing = {(queue, key): count for queue, key, count in counts}
        left = math.inf if limit is None else limit - sum(executing.values())
        return claiming.ready_runs(heads, executing, capacities, left, self._ready_of, self._hold)

    def _ready_of(self, wants: Sequence[Want]) -> list[list[Run]]:
        """List and lock claimable runs, best first, for each of several wants."""
        found: list[list[Run]] = [[] for _ in wants]
        columns = [list(column) for column in zip(*wants, strict=True)]
        for index, *row in self._at_once(("ready_of_parts", columns))[0]:
            found[index].append(postgres_rows.run(tuple(row)))
        return found

    def _hold(self, queues: Sequence[str]) -> dict[str, dict[str, int]]:
        """Lock queues until the transaction ends and count what executes of them, by key."""
        labels = [self._lock_label("queue", name) for name in queues]
        held, counts = self._at_once(
            ("try_locks", (list(queues), labels)), ("count_executing_of", (list(queues),))
        )
        found: dict[str, dict[str, int]] = {name: {} for (name,) in held}
        for queue, key, count in counts:
            if queue in found:
                found[queue][key] = count
        return found

    def _at_once(self, *queries: tuple[str, Sequence[Any]]) -> list[list[Row]]:
        """Run queries in one round trip; each sees what was committed before it."""
        with self._db.pipeline():
            cursors = [self._db.execute(self.sql[name], values) for name, values in queries]
        return [cursor.fetchall() for cursor in cursors]

    def serve(self, lanes: Sequence[Lane], now: int) -> None:
        queues, keys = [queue for queue, _ in lanes], [key for _, key in lanes]
        self._change("serve", queues, keys, now, now)

    def put_queue(self, name: str, limit: int | None, now: int) -> None:
        self._change("put_queue", name, limit, now)

    def add_queues(self, names: Sequence[str], now: int) -> None:
        self._change("add_queues", now, list(names))

    def get_queue(self, name: str) -> Queue | None:
        row = self._db.execute(self.sql["get_queue" + self._locks], (name,)).fetchone()
        return Queue(*row) if row else None

    def update_queue(self, queue: Queue) -> None:
        self._change("update_queue", *convert.changed_queue(queue))

    def queue_names(self) -> list[str]:
        return [row[0] for row in self._db.execute(self.sql["queue_names"])]

    def queue_loads(self, names: Sequence[str]) -> dict[str, Load]:
        rows = self._db.execute(self.sql["queue_loads"], (list(names),))
        return {name: Load(running, queued) for name, running, queued in rows}

    def total_load(self) -> Load:
        row = self._db.execute(self.sql["total_load"]).fetchone()
        assert row is not None
        return Load(*row)

    def _change(self, name: str, *values: Any) -> None:
        count = self._db.execute(self.sql[name], values).rowcount
        self.wrote = self.wrote or count > 0

    def _lock_label(self, kind: str, name: str) -> str:
        """Name an advisory lock; those of other schemas in the database have other names."""
        return f"{self._schema}/{kind}/{name}"
