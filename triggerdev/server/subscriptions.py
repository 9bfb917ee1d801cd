"""Who follows many runs, those of a tag or of a batch, and what each was told; kept between a client's polls.

The database is the truth and a subscription only saves work: one that is unknown here, since the server has
restarted or is another one, begins anew with what has changed since the time in the client's offset.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from triggerdev.engine.model import Run, RunFilter
from triggerdev.engine.watch import Feed

if TYPE_CHECKING:
    from triggerdev.engine.engine import Engine

MOST_RUNS = 1000  # that are listed at first; later ones are seen as they change
_MOST_SEEN = 10_000
_MOST_SUBSCRIPTIONS = 1000
_KEPT_S = 120.0  # after the last poll
_OVERLAP_MS = 2000  # commits of several servers are not seen in the order of their times


class Selection(ABC):
    """Which runs are followed."""

    @abstractmethod
    async def all(self, engine: "Engine") -> list[Run]:
        """List the runs that there are."""

    @abstractmethod
    async def among(self, engine: "Engine", ids: Collection[str], known: Container[str]) -> list[Run]:
        """Pick those of these runs that belong to it, and others that do and are not known."""


@dataclass(frozen=True)
class Tagged(Selection):
    """The runs that have all of these tags and were made since a time."""

    tags: tuple[str, ...]
    created_from: int

    async def all(self, engine: "Engine") -> list[Run]:
        where = RunFilter(tag=[self.tags[0]], created_from=self.created_from)
        newest_first = (await engine.list_runs(where, size=MOST_RUNS)).items
        return [run for run in reversed(newest_first) if self._has(run)]

    async def among(self, engine: "Engine", ids: Collection[str], known: Container[str]) -> list[Run]:
        found = await engine.retrieve_runs(ids) if ids else {}
        return [run for run in found.values() if self._has(run)]

    def _has(self, run: Run) -> bool:
        return run.created_at >= self.created_from and set(self.tags) <= set(run.tags)


@dataclass(frozen=True)
class OfBatch(Selection):
    """The runs of a batch, also those that it has found by a key."""

    batch_id: str

    async def all(self, engine: "Engine") -> list[Run]:
        return await self.among(engine, (), ())

    async def among(self, engine: "Engine", ids: Collection[str], known: Container[str]) -> list[Run]:
        items = dict.fromkeys((await engine.retrieve_batch(self.batch_id)).runs)
        wanted = [run_id for run_id in items if run_id in ids or run_id not in known]
        found = await engine.retrieve_runs(wanted) if wanted else {}
        return [found[run_id] for run_id in wanted if run_id in found]


@dataclass(frozen=True, slots=True, order=True)
class Offset:
    """How far a client is: the time of the last change that it knows, and the count of its answers."""

    at: int
    count: int

    def __str__(self) -> str:
        return f"{self.at}_{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Offset | None":
        """Read what `str` wrote; None for anything else."""
        at, _, count = text.partition("_")
        is_one = at.isascii() and at.isdigit() and count.isascii() and count.isdigit() and len(text) < 40
        return cls(int(at), int(count)) if is_one else None


@dataclass
class Subscription:
    """What one client follows and has been told: `revs` by run, and the runs of its last answer."""

    selection: Selection
    feed: Feed
    offset: Offset
    revs: OrderedDict[str, int] = field(default_factory=OrderedDict)
    unfinished: set[str] = field(default_factory=set)
    used_at: float = field(default_factory=time.monotonic)
    before: Offset | None = None
    told: list[str] = field(default_factory=list)
    poll: int = 0

    async def changes(self, engine: "Engine", offset: Offset, timeout: float) -> list[Run]:
        """Wait for changes behind an offset, at most `timeout` seconds, and give the runs as they are.

        Ends at once when the client asks again, since it has given this up then.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        poll = self._begin_poll()
        wanted = self._go_back_to(offset)
        while poll == self.poll:
            taken = self.feed.take()
            runs = await self._look(engine, None if taken is None else wanted | taken)
            if poll != self.poll:
                self._put_back(taken)
                break
            found, left = self._news(runs), deadline - loop.time()
            if found or left <= 0:
                return found
            await engine.wait_feed(self.feed, self.unfinished, left)
            wanted = set(self.unfinished)  # news of other servers may have been lost
        return []

    def _begin_poll(self) -> int:
        self.used_at = time.monotonic()
        self.poll += 1
        self.feed.note(())  # wakes the one before
        return self.poll

    def _put_back(self, taken: set[str] | None) -> None:
        if taken is None:
            self.feed.note_all()
        else:
            self.feed.note(taken)

    def _go_back_to(self, offset: Offset) -> set[str]:
        """Forget what was told in an answer that the client has not got, and give it."""
        if offset != self.before:
            return set()
        for run_id in self.told:
            self.revs.pop(run_id, None)
        return set(self.told)

    async def _look(self, engine: "Engine", ids: set[str] | None) -> list[Run]:
        if ids is None:
            return await self.selection.all(engine)
        return await self.selection.among(engine, ids, self.revs)

    def _news(self, runs: Iterable[Run]) -> list[Run]:
        news = [run for run in runs if self.revs.get(run.id) != run.rev]
        if news:
            self.tell(news)
        return news

    def tell(self, runs: list[Run]) -> None:
        """Note what goes into the next answer."""
        self.before, self.told = self.offset, [run.id for run in runs]
        latest = max((run.updated_at for run in runs), default=0)
        self.offset = Offset(max(self.offset.at, latest), self.offset.count + 1)
        self.note(runs)

    def note(self, runs: Iterable[Run]) -> None:
        """Note runs as the client knows them."""
        for run in runs:
            self.revs[run.id] = run.rev
            self.revs.move_to_end(run.id)
            if run.status.is_final:
                self.unfinished.discard(run.id)
            else:
                self.unfinished.add(run.id)
        while len(self.revs) > _MOST_SEEN:
            self.unfinished.discard(self.revs.popitem(last=False)[0])


class Subscriptions:
    """The subscriptions of this server's clients, by handle; those that are not asked for any more go."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, Subscription] = OrderedDict()

    async def begin(self, engine: "Engine", key: str, selection: Selection) -> tuple[Subscription, list[Run]]:
        """Begin to follow; gives the runs that there are."""
        made = Subscription(selection, engine.open_feed(), Offset(0, 0))
        try:
            runs = await selection.all(engine)
        except BaseException:
            engine.close_feed(made.feed)
            raise
        made.tell(runs)
        self._keep(engine, key, made)
        return made, runs

    async def resume(
        self, engine: "Engine", key: str, selection: Selection, offset: Offset
    ) -> tuple[Subscription, list[Run]]:
        """Go on where a client is; gives what it has missed, if that is known already."""
        known = self._by_key.get(key)
        if known is not None and offset in (known.offset, known.before):
            return known, []
        made, runs = await self.begin(engine, key, selection)
        made.offset, made.before = offset, None
        missed = [run for run in runs if run.updated_at >= offset.at - _OVERLAP_MS]
        if missed:
            made.tell(missed)
        return made, missed

    def _keep(self, engine: "Engine", key: str, made: Subscription) -> None:
        replaced = self._by_key.pop(key, None)
        if replaced is not None:
            engine.close_feed(replaced.feed)
        self._by_key[key] = made
        oldest_first = sorted(self._by_key.items(), key=lambda pair: pair[1].used_at)
        surplus = len(oldest_first) - _MOST_SUBSCRIPTIONS
        for n, (name, each) in enumerate(oldest_first):
            if n < surplus or time.monotonic() - each.used_at > _KEPT_S:
                engine.close_feed(self._by_key.pop(name).feed)
