"""What retention asks of the PostgreSQL store, a part of `PostgresTx`."""

from collections.abc import Mapping, Sequence
from typing import Any

from triggerdev.engine.store.postgres_connection import Connection
from triggerdev.engine.store.protocol import Kind
from triggerdev.engine.store.sqlite_retention import DELETES, named_in


class PostgresRetention:
    _db: Connection
    _schema: str
    sql: Mapping[str, str]
    wrote: bool

    def try_lock(self, name: str) -> bool:
        """Keep other servers out of something until the transaction ends; false if one is at it."""
        row = self._db.execute(self.sql["try_lock"], (f"{self._schema}/{name}",)).fetchone()
        return row is not None and bool(row[0])

    def finished(self, kind: Kind, before: int, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        rows = self._db.execute(self.sql[f"finished_{kind}"], (before, *after, limit)).fetchall()
        return [(at, found) for at, found in rows]

    def needed(self, kind: Kind, ids: Sequence[str], now: int) -> set[str]:
        query = self.sql[f"needed_{kind}"]
        times = [now] * (query.count("%s") - 1)
        return {row[0] for row in self._db.execute(query, (list(ids), *times))}

    def delete(self, kind: Kind, ids: Sequence[str]) -> None:
        for name in DELETES[kind]:
            self._count(name, list(ids))

    def delete_logs_of(self, run_ids: Sequence[str], limit: int) -> int:
        return self._count("delete_logs_of", list(run_ids), limit)

    def delete_old_logs(self, before: int, limit: int) -> int:
        return self._count("delete_old_logs", limit, before)

    def delete_spans_of(self, run_ids: Sequence[str], limit: int) -> int:
        return self._count("delete_spans_of", list(run_ids), limit)

    def delete_old_spans(self, before: int, limit: int) -> int:
        return self._count("delete_old_spans", limit, before * 1_000_000)

    def delete_expired_requests(self, now: int, limit: int) -> int:
        return self._count("delete_expired_requests", now, limit)

    def delete_idle_lanes(self, before: int, limit: int) -> int:
        return self._count("delete_idle_lanes", before, limit)

    def needed_bodies(self, keys: Sequence[str]) -> set[str]:
        """Choose among keys of stored bodies those that runs, tokens and operations name."""
        named = {row[0] for row in self._db.execute(self.sql["stored_bodies"], {"keys": list(keys)})}
        results = [row[0] for row in self._db.execute(self.sql["stored_results"])]
        return named | named_in(keys, results)

    def _count(self, name: str, *values: Any) -> int:
        count = self._db.execute(self.sql[name], values).rowcount
        self.wrote = self.wrote or count > 0
        return count
