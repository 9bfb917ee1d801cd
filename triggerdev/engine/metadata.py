"""Applying metadata operations (set, delete, append, remove, increment, decrement, update) to an object."""

import itertools
import re
from typing import Any

from triggerdev import errors

_FORBIDDEN = frozenset({"__proto__", "constructor", "prototype"})
_MAX_DEPTH = 100
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def apply(current: dict[str, Any] | None, operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the metadata after the operations; keys may be paths such as `$.a.b[0]`.

    Neither argument is changed, nor shared with the result: a command may be repeated.

    Raises InvalidOptionError for an operation or a path that cannot be understood.
    """
    result: dict[str, Any] = _copy(current or {})
    for operation in operations:
        _apply_one(result, operation)
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _apply_one(data: dict[str, Any], operation: dict[str, Any]) -> None:
    kind = operation.get("type")
    if kind == "update":
        value = operation.get("value")
        if not isinstance(value, dict):
            raise errors.InvalidOptionError("metadata: update needs an object.")
        data.clear()
        data.update(_copy(value))
        return
    path = _path(operation.get("key"))
    if kind == "delete":
        _delete(data, path)
    elif kind in _CHANGES:
        old = _get(data, path)
        _set(data, path, _CHANGES[kind](old, _copy(operation.get("value"))))
    else:
        raise errors.InvalidOptionError(f"metadata: {kind!r} is no operation.")


def _append(old: Any, value: Any) -> Any:
    if old is None:
        return [value]
    return [*old, value] if isinstance(old, list) else [old, value]


def _remove(old: Any, value: Any) -> Any:
    return [item for item in old if item != value] if isinstance(old, list) else old


def _add(old: Any, value: Any, sign: int = 1) -> Any:
    base = old if _is_number(old) else 0
    if not _is_number(value):
        raise errors.InvalidOptionError(f"metadata: {value!r} is no number to add.")
    try:
        return base + sign * value
    except OverflowError as error:
        raise errors.InvalidOptionError(f"metadata: the sum is too large ({error}).") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHANGES: dict[str, Any] = {
    "set": lambda _old, value: value,
    "append": _append,
    "remove": _remove,
    "increment": _add,
    "decrement": lambda old, value: _add(old, value, -1),
}


def _path(key: Any) -> list[str | int]:
    if not isinstance(key, str) or not key or key in ("$", "$."):
        raise errors.InvalidOptionError(f"metadata: {key!r} is no key.")
    if not key.startswith("$."):
        steps: list[str | int] = [key]
    else:
        matches = list(_STEP.finditer(key, 1))
        if sum(len(match.group(0)) for match in matches) != len(key) - 1:
            raise errors.InvalidOptionError(f"metadata: {key!r} is no path.")
        steps = [match.group(1) or int(match.group(2)) for match in matches]
    if len(steps) > _MAX_DEPTH:
        raise errors.InvalidOptionError(f"metadata: a path of {len(steps)} steps; {_MAX_DEPTH} are allowed.")
    if _FORBIDDEN.intersection(step for step in steps if isinstance(step, str)):
        raise errors.InvalidOptionError(f"metadata: {key!r} is not allowed.")
    return steps


def _get(data: Any, path: list[str | int]) -> Any:
    for step in path:
        if isinstance(step, int):
            data = data[step] if isinstance(data, list) and step < len(data) else None
        else:
            data = data.get(step) if isinstance(data, dict) else None
    return data


def _set(data: dict[str, Any], path: list[str | int], value: Any) -> None:
    here: Any = data
    for step, following in itertools.pairwise(path):
        inner = _get(here, [step])
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


def _delete(data: dict[str, Any], path: list[str | int]) -> None:
    owner = _get(data, path[:-1]) if path[:-1] else data
    last = path[-1]
    if isinstance(owner, dict) and isinstance(last, str):
        owner.pop(last, None)
    elif isinstance(owner, list) and isinstance(last, int) and last < len(owner):
        del owner[last]
