"""The run's own copy of its metadata, and the changes that are still to be sent."""

import contextlib
from typing import Any

from triggerdev import _json, _metadata
from triggerdev.sdk.session import MetadataScope

_ARGS: dict[MetadataScope, str] = {
    "run": "operations",
    "parent": "parent_operations",
    "root": "root_operations",
}
Change = dict[str, Any]


class Operations:
    """Changes of one run's metadata in order. What sets one name again takes the place of the first."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._latest: dict[str, int] = {}

    def add(self, change: Change) -> None:
        """Add a change, or let the latest one of its name do the same."""
        key = change.get("key", "$")
        if key.startswith("$"):  # what is at a path depends on what is around it
            self._latest = {}
            self.changes.append(change)
            return
        index = self._latest.get(key)
        one = None if index is None else _both(self.changes[index], change)
        if index is not None and one is not None:
            self.changes[index] = one
            return
        self._latest[key] = len(self.changes)
        self.changes.append(change)


def _both(first: Change, then: Change) -> Change | None:
    """Give one change that does what these two do, None if there is none."""
    kinds = first["type"], then["type"]
    if kinds == ("set", "set"):
        return then
    if kinds[1] == "increment" and kinds[0] in ("set", "increment"):
        values = first["value"], then["value"]
        if type(values[0]) is int and type(values[1]) is int:  # sums of others depend on the order
            return {**first, "value": sum(values)}
    return None


class Changes:
    """Buffered changes by branch; sent in one operation for each branch."""

    def __init__(self) -> None:
        self._by_path: dict[str, tuple[int, dict[str, Operations]]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_path)

    def add(self, path: str, number: int, scope: MetadataScope, change: Change) -> None:
        """Buffer the `number`-th change of a branch."""
        args = self._by_path.get(path, (0, {}))[1]
        args.setdefault(_ARGS[scope], Operations()).add(change)
        self._by_path[path] = (number, args)

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        """Give (operation id, args) for each branch, and forget them.

        The id says how many changes of the branch are stored with it, so that a replay does not repeat them.
        """
        taken: list[tuple[str, dict[str, Any]]] = [
            (f"{path}:m{number}", {name: made.changes for name, made in args.items()})
            for path, (number, args) in self._by_path.items()
        ]
        self._by_path = {}
        return taken


def copy(data: dict[str, Any]) -> dict[str, Any]:
    """Copy metadata with all that is in it: what a run changes is not what a message holds."""
    made: dict[str, Any] = _json.loads(_json.dumps(data))
    return made


def apply(data: dict[str, Any], change: Change) -> None:
    """Apply one change to the local copy, as the engine will; one that does not fit is left to the engine."""
    with contextlib.suppress(ValueError):
        _metadata.change(data, change)


def growth(change: Change) -> int:
    """Estimate by how many bytes a change makes the metadata larger at most; 0: it does not."""
    if change["type"] in ("delete", "remove"):
        return 0
    key = len(change.get("key", "").encode())
    return len(_json.dump_bytes(change["value"])) + key + 32 + 4 * key  # a path makes objects on its way
