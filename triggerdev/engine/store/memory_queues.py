"""Queues and what to give out next, of the store in memory; a part of `MemoryTx`."""

import math
from collections import Counter
from collections.abc import Sequence

from triggerdev.engine.model import Load, Queue, Run, Status
from triggerdev.engine.store.memory_tables import Tables, Unit, frozen, thawed
from triggerdev.engine.store.protocol import Capacity, Lane, Ready


class MemoryQueues:
    _unit: Unit

    def ready_runs(self, capacities: Sequence[Capacity], limit: int | None) -> Ready:
        return Ready([thawed(run) for run in ready_runs(self._unit.tables, capacities, limit)])

    def serve(self, lanes: Sequence[Lane], now: int) -> None:
        table = self._unit.change("lanes")
        for lane in lanes:
            table[lane] = (max((turn for turn, _ in table.values()), default=0) + 1, now)

    def put_queue(self, name: str, limit: int | None, now: int) -> None:
        table = self._unit.change("queues")
        known: Queue | None = table.get(name)
        if known is None:
            table[name] = Queue(name, limit, now)
        elif known.concurrency_limit != limit:
            kept = table[name] = frozen(known)
            kept.concurrency_limit, kept.updated_at = limit, now

    def add_queues(self, names: Sequence[str], now: int) -> None:
        table = self._unit.change("queues")
        for name in names:
            table.setdefault(name, Queue(name, None, now))

    def get_queue(self, name: str) -> Queue | None:
        found = self._unit.tables.queues.get(name)
        return None if found is None else thawed(found)

    def update_queue(self, queue: Queue) -> None:
        self._unit.change("queues")[queue.name] = frozen(queue)

    def queue_names(self) -> list[str]:
        return sorted(self._unit.tables.queues)

    def queue_loads(self, names: Sequence[str]) -> dict[str, Load]:
        runs = self._unit.tables.runs.values()
        return {name: _load([run for run in runs if run.queue == name]) for name in names}

    def total_load(self) -> Load:
        return _load(list(self._unit.tables.runs.values()))

    def delete_idle_lanes(self, before: int, limit: int) -> int:
        table = self._unit.change("lanes")
        idle = sorted((served, lane) for lane, (_, served) in table.items() if served < before)[:limit]
        for _, lane in idle:
            del table[lane]
        return len(idle)


def _load(runs: list[Run]) -> Load:
    return Load(sum(run.status is Status.EXECUTING for run in runs), sum(run.ready for run in runs))


def lane_of(run: Run) -> Lane:
    """Name the lane that a run is in."""
    return run.queue, run.concurrency_key or ""


def free_slots(tables: Tables, lane: Lane, executing: int) -> float:
    """Count how many more runs of a lane may execute."""
    queue = tables.queues.get(lane[0])
    if queue is None:
        return math.inf
    if queue.paused_at is not None:
        return 0
    return math.inf if queue.limit is None else queue.limit - executing


def ready_runs(tables: Tables, capacities: Sequence[Capacity], limit: int | None) -> list[Run]:
    """Choose slot by slot, from the lane whose turn it is; `claiming` does the same in few steps."""
    executing = Counter(lane_of(run) for run in tables.runs.values() if run.status is Status.EXECUTING)
    turns = {lane: (0, turn) for lane, (turn, _) in tables.lanes.items()}
    left = math.inf if limit is None else limit - executing.total()
    lanes: dict[Lane, list[Run]] = {}
    for run in sorted((run for run in tables.runs.values() if run.ready), key=_place):
        lanes.setdefault(lane_of(run), []).append(run)
    chosen: list[Run] = []
    for capacity in capacities:
        given = {run.id for run in chosen}
        waiting = {
            lane: [run for run in runs if run.task in capacity.tasks and run.id not in given][::-1]
            for lane, runs in lanes.items()
        }
        for _ in range(int(min(capacity.free, left - len(chosen)))):
            served = [
                lane
                for lane, runs in waiting.items()
                if runs and free_slots(tables, lane, executing[lane]) > 0
            ]
            if not served:
                break
            lane = min(
                served,
                key=lambda lane: (executing[lane], turns.get(lane, (0, 0)), _place(waiting[lane][-1])),
            )
            chosen.append(waiting[lane].pop())
            executing[lane] += 1
            turns[lane] = (1, len(chosen))
    return chosen


def _place(run: Run) -> tuple[int, int]:
    """Tell a run's place in its lane."""
    return run.score, run.seq
