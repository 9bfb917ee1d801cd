"""The stores that are compared with the one in memory. A new store needs one line in `STORES`."""

from collections.abc import Callable
from pathlib import Path

from triggerdev.engine.store.protocol import Store
from triggerdev.engine.store.sqlite import SqliteStore

MEMORY = Path("/dev/shm")  # a disk in memory, where there is one: thousands of commits, none to be kept


def sqlite(folder: Path) -> Store:
    """A SQLite file in a folder."""
    return SqliteStore(folder / "engine.db")


STORES: dict[str, Callable[[Path], Store]] = {"sqlite": sqlite}
