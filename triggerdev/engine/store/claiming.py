"""Which runs to give out next: max-min fair among lanes, by score within a lane.

A lane is a queue with a concurrency key. Each slot goes to the lane with the fewest executing runs; of equals
to the one whose turn is longest ago, where one that never had a turn is first, and of these the one with the
oldest run. In a lane, woken runs go ahead of new ones, then score (time and priority) decides.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from triggerdev.engine.model import Run
from triggerdev.engine.store.protocol import Capacity, Lane, Ready

MOST_ROUNDS = 24  # of reading; each halves what is left to be read, or the lanes that have more
_AFTER_ALL_TURNS = 2**62
_QUEUE: Final = 0
_KEY: Final = 1
_TASK: Final = 2
_SCORE: Final = 3
_SEQ: Final = 4
_TURN: Final = 5
_LIMIT: Final = 6

Head = tuple[str, str, str, int, int, int, int | None]
"""The first ready run of a task in a lane: queue, key, task, score, seq; the lane's last turn, its limit."""
Place = tuple[int, int]  # score, seq


class Want(NamedTuple):
    """So many ready runs of a task in a lane, behind a (score, seq)."""

    queue: str
    key: str
    task: str
    score: int
    seq: int
    most: int


Read = Callable[[Sequence[Want]], Iterable[list[Run]]]
Hold = Callable[[Sequence[str]], Mapping[str, Mapping[str, int]]]
"""Keeps other servers from claiming of limited queues, and counts what of them executes then, by key.

Queues that another server holds are left out.
"""


def ready_runs(
    heads: Sequence[Any],
    executing: Mapping[Lane, int],
    capacities: Sequence[Capacity],
    left: float,
    read: Read,
    hold: Hold | None = None,
) -> Ready:
    """Choose runs within each capacity, each queue's limit, and `left`, what all may have together.

    `heads` are rows in the form of `Head`. Without `hold`, nobody else claims.
    """
    chooser = _Chooser(heads, executing, read, hold)
    chosen: list[Run] = []
    for capacity in capacities:
        count = int(min(capacity.free, left - len(chosen)))
        if count > 0 and capacity.tasks:
            chosen += chooser.take(frozenset(capacity.tasks), count)
    return Ready(chosen, chooser.is_cut)


class _Part:
    """The ready runs of one task in a lane, as far as they have been read; the next one stands last."""

    __slots__ = ("_first", "behind", "has_more", "runs", "task")

    def __init__(self, head: Head) -> None:
        self.task = head[_TASK]
        self._first = (head[_SCORE], head[_SEQ])
        self.behind = (head[_SCORE], head[_SEQ] - 1)
        self.runs: list[Run] = []
        self.has_more = True

    @property
    def first(self) -> Place:
        return (self.runs[-1].score, self.runs[-1].seq) if self.runs else self._first

    def fill(self, found: list[Run], asked: int) -> None:
        self.has_more = len(found) == asked
        if found:
            self.behind = (found[-1].score, found[-1].seq)
            self._first = (found[-1].score, found[-1].seq + 1)
        self.runs = found[::-1] + self.runs


class _Lane:
    """A lane that runs are taken from. `most`: so many of its runs may execute."""

    __slots__ = ("executing", "is_limited", "most", "name", "parts", "turn")

    def __init__(self, name: Lane, heads: Sequence[Head], executing: int) -> None:
        self.name = name
        self.parts = [_Part(head) for head in heads]
        self.executing = executing
        self.turn = heads[0][_TURN]
        limit = heads[0][_LIMIT]
        self.is_limited = limit is not None
        self.most = math.inf if limit is None else limit

    def parts_of(self, tasks: frozenset[str]) -> list[_Part]:
        return [part for part in self.parts if part.task in tasks and (part.has_more or part.runs)]


_Entry = tuple[
    int, int, Place, Lane
]  # executing, turn, first run: whose entry is the least has the next slot


class _Chooser:
    """The lanes of one claim; what one capacity has taken counts for the next."""

    def __init__(
        self, heads: Sequence[Any], executing: Mapping[Lane, int], read: Read, hold: Hold | None
    ) -> None:
        self._heads: dict[Lane, list[Head]] = {}
        for head in heads:
            self._heads.setdefault((head[_QUEUE], head[_KEY]), []).append(head)
        self._executing = executing
        self._read = read
        self._hold = hold
        self._held: dict[str, Mapping[str, int] | None] = {}
        self._lanes: dict[Lane, _Lane] = {}
        self._turns = _AFTER_ALL_TURNS
        self.is_cut = False

    def take(self, tasks: frozenset[str], count: int) -> list[Run]:
        """Take the next runs of these tasks. What a lane does not have, others get in another round."""
        pool = self._pool(tasks)
        chosen: list[Run] = []
        for _ in range(MOST_ROUNDS):
            plan = self._plan(pool, tasks, count - len(chosen))
            if not plan:
                return chosen
            if self._is_held(plan):
                self._fill(plan, tasks)
                chosen += [run for lane in plan if (run := self._next(lane, tasks)) is not None]
            else:
                pool = self._pool(tasks)
        self.is_cut = True
        return chosen

    def _pool(self, tasks: frozenset[str]) -> list[_Entry]:
        """Make a heap of the lanes that have runs of these tasks."""
        pool: list[_Entry] = []
        for name, heads in self._heads.items():
            lane = self._lanes.get(name)
            if lane is not None:
                executing, turn = lane.executing, lane.turn
                places = [part.first for part in lane.parts_of(tasks)]
            else:
                executing, turn = self._executing.get(name, 0), heads[0][_TURN]
                places = [(head[_SCORE], head[_SEQ]) for head in heads if head[_TASK] in tasks]
            if places:
                pool.append((executing, turn, min(places), name))
        heapq.heapify(pool)
        return pool

    def _plan(self, pool: list[_Entry], tasks: frozenset[str], count: int) -> list[_Lane]:
        """Say whose turn it is, so many times, as if every lane had runs without end."""
        plan: list[_Lane] = []
        while pool and len(plan) < count:
            executing, _, place, name = pool[0]
            lane = self._lane(name)
            if executing < lane.most and lane.parts_of(tasks):
                plan.append(lane)
                self._turns += 1
                heapq.heapreplace(pool, (executing + 1, self._turns, place, name))
            else:
                heapq.heappop(pool)
        return plan

    def _lane(self, name: Lane) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name, self._heads[name], self._executing.get(name, 0))
            if name[0] in self._held:
                self._bound(lane)
        return lane

    def _is_held(self, plan: Sequence[_Lane]) -> bool:
        """Hold the limited queues of a plan. False if it has to be made anew: there are fewer slots."""
        wanted = {lane.name[0] for lane in plan if lane.is_limited} - self._held.keys()
        if self._hold is None or not wanted:
            return True
        held = self._hold(sorted(wanted))
        self.is_cut = self.is_cut or len(held) < len(wanted)
        self._held |= {queue: held.get(queue) for queue in wanted}
        bounded = [self._bound(lane) for lane in self._lanes.values() if lane.name[0] in wanted]
        return not any(bounded)

    def _bound(self, lane: _Lane) -> bool:
        """Let a lane have as many slots as it has left now that it is held; tells whether these are fewer."""
        counts = self._held[lane.name[0]]
        more = 0 if counts is None else counts.get(lane.name[1], 0) - lane.executing
        before = lane.most
        lane.most = 0 if counts is None else before - max(0, more)
        return lane.most < before

    def _fill(self, plan: Sequence[_Lane], tasks: frozenset[str]) -> None:
        """Read what a plan needs, all at once."""
        asked: list[tuple[_Part, Want]] = []
        for lane, count in Counter(plan).items():
            for part in lane.parts_of(tasks):
                missing = count - len(part.runs)
                if part.has_more and missing > 0:
                    asked.append((part, Want(*lane.name, part.task, *part.behind, missing)))
        if asked:
            answers = self._read([want for _, want in asked])
            for (part, want), found in zip(asked, answers, strict=True):
                part.fill(found, want.most)

    def _next(self, lane: _Lane, tasks: frozenset[str]) -> Run | None:
        """Give a lane's next run its slot."""
        parts = [part for part in lane.parts_of(tasks) if part.runs]
        if not parts:
            return None
        self._turns += 1
        lane.turn = self._turns
        lane.executing += 1
        return min(parts, key=lambda part: part.first).runs.pop()
