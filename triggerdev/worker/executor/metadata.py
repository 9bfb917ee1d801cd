"""The run's own copy of its metadata, and the changes that are still to be sent."""

import re
from typing import Any

from triggerdev import _json
from triggerdev.sdk.session import MetadataScope

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_ARGS: dict[MetadataScope, str] = {
    "run": "operations",
    "parent": "parent_operations",
    "root": "root_operations",
}


class Changes:
    """Buffered changes by branch; sent in one operation for each branch."""

    def __init__(self) -> None:
        self._by_path: dict[str, tuple[int, dict[str, list[dict[str, Any]]]]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_path)

    def add(self, path: str, number: int, scope: MetadataScope, change: dict[str, Any]) -> None:
        """Buffer the `number`-th change of a branch."""
        args = self._by_path.get(path, (0, {}))[1]
        args.setdefault(_ARGS[scope], []).append(change)
        self._by_path[path] = (number, args)

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        """Give (operation id, args) for each branch, and forget them.

        The id says how many changes of the branch are stored with it, so that a replay does not repeat them.
        """
        taken = [(f"{path}:m{number}", dict(args)) for path, (number, args) in self._by_path.items()]
        self._by_path = {}
        return taken


def copy(data: dict[str, Any]) -> dict[str, Any]:
    """Copy metadata with all that is in it: what a run changes is not what a message holds."""
    made: dict[str, Any] = _json.loads(_json.dumps(data))
    return made


def apply(data: dict[str, Any], change: dict[str, Any]) -> None:
    """Apply one change to the local copy, as the engine will; one that does not fit is left to the engine."""
    kind = change["type"]
    if kind == "update":
        data.clear()
        data.update(change["value"])
        return
    path = _path(change["key"])
    if kind == "delete":
        owner = _get(data, path[:-1])
        if isinstance(owner, dict):
            owner.pop(path[-1], None)
        return
    old = _get(data, path)
    value = change["value"]
    if kind == "append":
        value = [*old, value] if isinstance(old, list) else [value] if old is None else [old, value]
    elif kind == "remove":
        value = [item for item in old if item != value] if isinstance(old, list) else old
    elif kind == "increment":
        value = (old if isinstance(old, (int, float)) else 0) + value
    _set(data, path, value)


def _path(key: str) -> list[str | int]:
    if not key.startswith("$."):
        return [key]
    return [match.group(1) or int(match.group(2)) for match in _STEP.finditer(key, 1)]


def _get(data: Any, path: list[str | int]) -> Any:
    for step in path:
        if isinstance(data, list) and isinstance(step, int):
            data = data[step] if step < len(data) else None
        else:
            data = data.get(step) if isinstance(data, dict) else None
    return data


def _set(data: Any, path: list[str | int], value: Any) -> None:
    for index, step in enumerate(path[:-1]):
        inner = _get(data, [step])
        if not isinstance(inner, (dict, list)):
            inner = [] if isinstance(path[index + 1], int) else {}
            _put(data, step, inner)
        data = inner
    _put(data, path[-1], value)


def _put(data: Any, step: str | int, value: Any) -> None:
    if isinstance(data, list) and isinstance(step, int):
        if step < len(data):
            data[step] = value
        else:
            data.append(value)
    elif isinstance(data, dict):
        data[step] = value
