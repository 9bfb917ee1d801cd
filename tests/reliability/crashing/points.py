"""Which crash points there are on a store, and where they are reached."""

from triggerdev._crash import POINTS

_OF_SHARED_STORES = ("mail.", "collect.", "connect.", "postgres.")
_OF_PROCESSES = ("server.", "reload.", "supervisor.", "template.", "version.", "worker.")
_OF_MAIN = ("server.", "reload.", "supervisor.")
_ONCE = frozenset({"migration.half_done"})  # in the life of a database


def of_store(store: str) -> set[str]:
    """Give all points that a store can come to."""
    return {name for name in POINTS if store == "postgres" or not name.startswith(_OF_SHARED_STORES)}


def of_engine(store: str) -> set[str]:
    """Give those that an engine comes to by itself."""
    return {name for name in of_store(store) if not name.startswith(_OF_PROCESSES)}


def of_main() -> list[str]:
    """Give those of the main process of `trigger dev` that are none of the engine's."""
    return [name for name in POINTS if name.startswith(_OF_MAIN)]


def of_children() -> list[str]:
    """Give those of the processes below it: template, versions, workers."""
    return [name for name in POINTS if name.startswith(_OF_PROCESSES) and not name.startswith(_OF_MAIN)]


def hits(name: str, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Choose the numbers of times after which a point can be hit."""
    return wanted[:1] if name in _ONCE else wanted
