"""The store in memory, as servers share it and as the checks look at it."""

import contextlib
from collections.abc import Iterator

from triggerdev.engine.store.memory import MemoryStore, MemoryTx
from triggerdev.engine.store.memory_tables import Tables, Unit
from triggerdev.engine.store.protocol import Tx


class WatchedTx(MemoryTx):
    """A transaction that also does what servers who share a store ask of it."""

    @property
    def tables(self) -> Tables:
        return self._now

    def renew_lease(self, worker: str, until: int) -> bool:
        if not self.holds_lease(worker):
            return False
        self.put_worker(worker, until)
        return True

    def holds_lease(self, worker: str) -> bool:
        return self.tables.workers.get(worker, 0) > 0


class WatchedStore(MemoryStore):
    """The store in memory, which lets others look at its tables: rows that they must not change."""

    @property
    def tables(self) -> Tables:
        return self._committed


class SharedWatchedStore(WatchedStore):
    """One that servers share."""

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        """Open a transaction; servers take turns."""
        unit = Unit(self._committed)
        yield WatchedTx(unit)
        self._committed = unit.tables
