"""Operations on metadata: what the engine stores and what a run shows meanwhile come from the same code.

Operations are those of the wire: set, delete, append, remove, increment, decrement, update. Keys are names or
paths such as `$.a.b[0]`.
"""

import itertools
import math
import re
from typing import Any

MAX_BYTES = 262_144
_FORBIDDEN = frozenset({"__proto__", "constructor", "prototype"})
_MAX_DEPTH = 100
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")

Path = list[str | int]


def change(data: dict[str, Any], operation: dict[str, Any]) -> None:
    """Apply an operation in place; its values are copied. Raises ValueError that says why it cannot be."""
    kind = operation.get("type")
    if kind == "update":
        value = operation.get("value")
        if not isinstance(value, dict):
            raise ValueError("update needs an object.")
        data.clear()
        data.update(copy(value))
        return
    path = read_path(operation.get("key"))
    if kind == "delete":
        _delete(data, path)
    elif kind == "remove" and find(data, path) is None:
        return
    elif kind in _CHANGES:
        _set(data, path, _CHANGES[kind](find(data, path), copy(operation.get("value"))))
    else:
        raise ValueError(f"{kind!r} is no operation.")


def copy(value: Any) -> Any:
    """Copy plain JSON with all that is in it."""
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, list) else value


def read_path(key: Any) -> Path:
    """Read a key as the steps of a path. Raises ValueError for what is no key, or one that is not allowed."""
    if not isinstance(key, str) or not key or key in ("$", "$."):
        raise ValueError(f"{key!r:.100} is no key: use text such as 'progress' or '$.items[0].done'.")
    steps: Path = [key]
    if key.startswith("$."):
        matches = list(_STEP.finditer(key, 1))
        if sum(len(match.group(0)) for match in matches) != len(key) - 1:
            raise ValueError(f"{key!r:.100} is no path: write it like '$.items[0].done'.")
        steps = [match.group(1) or int(match.group(2)) for match in matches]
    if len(steps) > _MAX_DEPTH:
        raise ValueError(f"a path of {len(steps)} steps; {_MAX_DEPTH} are allowed.")
    if _FORBIDDEN.intersection(step for step in steps if isinstance(step, str)):
        raise ValueError(f"{key!r:.100} is not allowed: no step of a key may be one of {sorted(_FORBIDDEN)}.")
    return steps


def find(data: Any, path: Path) -> Any:
    """Give the value at a path, None if there is none."""
    for step in path:
        if isinstance(step, int):
            data = data[step] if isinstance(data, list) and step < len(data) else None
        else:
            data = data.get(step) if isinstance(data, dict) else None
    return data


def is_number(value: Any) -> bool:
    """Tell whether a value can be added."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _append(old: Any, value: Any) -> Any:
    if old is None:
        return [value]
    return [*old, value] if isinstance(old, list) else [old, value]


def _remove(old: Any, value: Any) -> Any:
    return [item for item in old if item != value] if isinstance(old, list) else old


def _add(old: Any, value: Any, sign: int = 1) -> Any:
    base = old if is_number(old) else 0
    if not is_number(value):
        raise ValueError(f"{value!r:.100} is no number to add.")
    try:
        return base + sign * value
    except OverflowError as error:
        raise ValueError(f"the sum is too large ({error}).") from error


_CHANGES: dict[str, Any] = {
    "set": lambda _old, value: value,
    "append": _append,
    "remove": _remove,
    "increment": _add,
    "decrement": lambda old, value: _add(old, value, -1),
}


def _set(data: dict[str, Any], path: Path, value: Any) -> None:
    here: Any = data
    for step, following in itertools.pairwise(path):
        inner = find(here, [step])
        if not isinstance(inner, list if isinstance(following, int) else dict):
            inner = [] if isinstance(following, int) else {}
            _put(here, step, inner)
        here = inner
    _put(here, path[-1], value)


def _put(here: Any, step: str | int, value: Any) -> None:
    if isinstance(step, str) or step < len(here):
        here[step] = value
    else:
        here.append(value)


def _delete(data: dict[str, Any], path: Path) -> None:
    owner = find(data, path[:-1])
    last = path[-1]
    if isinstance(owner, dict) and isinstance(last, str):
        owner.pop(last, None)
    elif isinstance(owner, list) and isinstance(last, int) and last < len(owner):
        del owner[last]
