"""Which runs to give out next: a merge of all queues by score that reads no more of each than it needs."""

import heapq
from collections.abc import Sequence
from typing import Protocol

from triggerdev import _json
from triggerdev.engine.model import Run
from triggerdev.engine.store.protocol import Capacity

_SMALLEST_READ = 4

Head = tuple[int, int, str, str]  # score, seq, queue, concurrency key


class Groups(Protocol):
    """What the merge asks of a transaction."""

    def ready_of_group(
        self, queue: str, key: str, after: tuple[int, int], tasks: str, count: int
    ) -> list[Run]: ...
    def free_slots(self, queue: str, key: str) -> float: ...


def ready_runs(tx: Groups, capacities: Sequence[Capacity], heads: Sequence[Head]) -> list[Run]:
    """Take the best claimable runs within each capacity and each queue's limit, lowest score first.

    `heads` has the first run of every queue and concurrency key; one whose turn does not come is not read.
    """
    slots: dict[tuple[str, str], float] = {}
    chosen: list[Run] = []
    for capacity in capacities:
        if capacity.free > 0 and capacity.tasks and heads:
            chosen.extend(_Merge(tx, slots, capacity, len(heads)).take(heads))
    return chosen


class _Merge:
    """One capacity's share. `slots`: what is left of the limits, shared by the capacities of one claim."""

    def __init__(
        self, tx: Groups, slots: dict[tuple[str, str], float], capacity: Capacity, groups: int
    ) -> None:
        self._tx = tx
        self._slots = slots
        self._free = capacity.free
        self._tasks = _json.dumps(list(capacity.tasks))
        self._chunk = max(_SMALLEST_READ, 2 * capacity.free // groups)
        self._read: dict[tuple[str, str], list[Run]] = {}

    def take(self, heads: Sequence[Head]) -> list[Run]:
        heap = list(heads)
        heapq.heapify(heap)
        taken: list[Run] = []
        while heap and len(taken) < self._free:
            score, seq, queue, key = heap[0]
            run = self._at(queue, key, score, seq, self._free - len(taken))
            if run is not None and (run.score, run.seq) == (score, seq):
                taken.append(run)
                self._read[queue, key].pop()
                self._slots[queue, key] -= 1
                run = self._at(queue, key, score, seq + 1, self._free - len(taken))
            if run is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (run.score, run.seq, queue, key))
        return taken

    def _at(self, queue: str, key: str, score: int, seq: int, wanted: int) -> Run | None:
        """Find the group's first run that is not before (score, seq) and may be taken."""
        left = self._slots.get((queue, key))
        if left is None:
            left = self._slots[queue, key] = self._tx.free_slots(queue, key)
        count = int(min(wanted, left))
        if count <= 0:
            return None
        rows = self._read.get((queue, key))
        if not rows:
            after = (score, seq - 1)
            rows = self._tx.ready_of_group(queue, key, after, self._tasks, min(count, self._chunk))
            rows.reverse()
            self._read[queue, key] = rows
        return rows[-1] if rows else None
