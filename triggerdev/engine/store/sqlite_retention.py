"""What retention asks of the SQLite store, a part of `SqliteTx`."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from triggerdev import _json
from triggerdev.engine.store.protocol import Kind

DELETES: dict[Kind, tuple[str, ...]] = {
    "runs": ("delete_keys_of_runs", "delete_ops", "delete_runs"),
    "batches": ("delete_batch_items", "delete_batch_errors", "delete_batches"),
    "tokens": ("delete_tokens",),
}


def named_in(keys: Sequence[str], texts: Sequence[str]) -> set[str]:
    """Choose the keys that stand in any of some texts."""
    return {key for key in keys if any(key in text for text in texts)}


class SqliteRetention:
    _db: sqlite3.Connection
    _sql: Mapping[str, str]

    def try_lock(self, name: str) -> bool:
        """Tell that nobody else is at it: there is one engine."""
        return True

    def finished(self, kind: Kind, before: int, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        return self._db.execute(self._sql[f"finished_{kind}"], (before, *after, limit)).fetchall()

    def needed(self, kind: Kind, ids: Sequence[str], now: int) -> set[str]:
        return {
            row[0] for row in self._db.execute(self._sql[f"needed_{kind}"], (_json.dumps(list(ids)), now))
        }

    def delete(self, kind: Kind, ids: Sequence[str]) -> None:
        for name in DELETES[kind]:
            self._db.execute(self._sql[name], (_json.dumps(list(ids)),))

    def delete_logs_of(self, run_ids: Sequence[str], limit: int) -> int:
        return self._count("delete_logs_of", _json.dumps(list(run_ids)), limit)

    def delete_old_logs(self, before: int, limit: int) -> int:
        return self._count("delete_old_logs", before, limit)

    def delete_spans_of(self, run_ids: Sequence[str], limit: int) -> int:
        return self._count("delete_spans_of", _json.dumps(list(run_ids)), limit)

    def delete_old_spans(self, before: int, limit: int) -> int:
        return self._count("delete_old_spans", before * 1_000_000, limit)

    def delete_expired_requests(self, now: int, limit: int) -> int:
        return self._count("delete_expired_requests", now, limit)

    def delete_idle_lanes(self, before: int, limit: int) -> int:
        return self._count("delete_idle_lanes", before, limit)

    def needed_bodies(self, keys: Sequence[str]) -> set[str]:
        """Choose among keys of stored bodies those that runs, tokens and operations name."""
        named = {row[0] for row in self._db.execute(self._sql["stored_bodies"], (_json.dumps(list(keys)),))}
        results = [row[0] for row in self._db.execute(self._sql["stored_results"])]
        return named | named_in(keys, results)

    def _count(self, name: str, *values: Any) -> int:
        return self._db.execute(self._sql[name], values).rowcount
