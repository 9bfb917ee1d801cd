"""Queues and what to give out next, of the SQLite store; a part of `SqliteTx`."""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from triggerdev import _json
from triggerdev.engine.model import Load, Queue, Run
from triggerdev.engine.store import claiming
from triggerdev.engine.store import rows as convert
from triggerdev.engine.store.claiming import Want
from triggerdev.engine.store.protocol import Capacity, Lane, Ready


class SqliteQueues:
    _db: sqlite3.Connection
    _sql: Mapping[str, str]

    def _queues(self, name: str, *values: Any) -> sqlite3.Cursor:
        return self._db.execute(self._sql[name], values)

    def ready_runs(self, capacities: Sequence[Capacity], limit: int | None) -> Ready:
        """Choose the runs to give out next within each capacity, each queue's limit and that of all."""
        heads = self._queues("ready_heads").fetchall()
        if not heads:
            return Ready([])
        executing = {(queue, key): count for queue, key, count in self._queues("count_executing")}
        left = math.inf if limit is None else limit - sum(executing.values())
        return claiming.ready_runs(heads, executing, capacities, left, self._ready_of)

    def _ready_of(self, wants: Sequence[Want]) -> Iterator[list[Run]]:
        """List claimable runs, best first, for each of several wants."""
        return (list(map(convert.run, self._queues("ready_of_part", *want))) for want in wants)

    def serve(self, lanes: Sequence[Lane], now: int) -> None:
        self._db.executemany(self._sql["serve"], ((queue, key, now) for queue, key in lanes))

    def put_queue(self, name: str, limit: int | None, now: int) -> None:
        self._queues("put_queue", name, limit, now)

    def add_queues(self, names: Sequence[str], now: int) -> None:
        self._db.executemany(self._sql["add_queue"], ((name, now) for name in names))

    def get_queue(self, name: str) -> Queue | None:
        row = self._queues("get_queue", name).fetchone()
        return Queue(*row) if row else None

    def update_queue(self, queue: Queue) -> None:
        self._queues("update_queue", *convert.changed_queue(queue))

    def queue_names(self) -> list[str]:
        return [row[0] for row in self._queues("queue_names")]

    def queue_loads(self, names: Sequence[str]) -> dict[str, Load]:
        rows = self._queues("queue_loads", _json.dumps(list(names)))
        return {name: Load(running, queued) for name, running, queued in rows}

    def total_load(self) -> Load:
        return Load(*self._queues("total_load").fetchone())
