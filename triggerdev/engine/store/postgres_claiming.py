"""Claiming on PostgreSQL: `claiming` with locks that never wait, so that servers can claim side by side."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from triggerdev import _json
from triggerdev.engine.model import Run
from triggerdev.engine.store import claiming, postgres_rows
from triggerdev.engine.store.protocol import Capacity


class Rows(Protocol):
    """What claiming asks of a transaction."""

    def rows(self, name: str, *values: Any) -> list[tuple[Any, ...]]: ...
    def lock_label(self, kind: str, name: str) -> str: ...


def ready_runs(tx: Rows, capacities: Sequence[Capacity]) -> list[Run]:
    """Take and lock the best claimable runs within each capacity and limit, lowest score first."""
    heads: list[Any] = tx.rows("ready_groups")
    if not heads:
        return []
    queues = sorted({queue for _, _, queue, _ in heads})
    limits = dict(tx.rows("queue_limits", queues))
    return claiming.ready_runs(_Groups(tx, limits), capacities, heads)


class _Groups:
    def __init__(self, tx: Rows, limits: dict[str, int]) -> None:
        self._tx = tx
        self._limits = limits
        self._held: dict[str, bool] = {}

    def ready_of_group(
        self, queue: str, key: str, after: tuple[int, int], tasks: str, count: int
    ) -> list[Run]:
        """List and lock claimable runs of one queue and key behind a (score, seq), best first."""
        rows = self._tx.rows("ready_of_group", queue, key, *after, _json.loads(tasks), count)
        return list(map(postgres_rows.run, rows))

    def free_slots(self, queue: str, key: str) -> float:
        """Count how many more runs of a queue and key may execute, while nobody else can claim from it."""
        limit = self._limits.get(queue)
        if limit is None:
            return math.inf
        if queue not in self._held:
            label = self._tx.lock_label("queue", queue)
            self._held[queue] = self._tx.rows("lock_queue", label)[0][0]
        if not self._held[queue]:
            return 0
        executing: int = self._tx.rows("count_executing", queue, key)[0][0]
        return float(limit - executing)
