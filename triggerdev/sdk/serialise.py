"""Values to JSON text and back: payloads, outputs, token results.

We write `application/json` only; we read that, `text/plain` and superjson, which official clients send.
"""

import datetime
import decimal
import pathlib
import re
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Any

from triggerdev import _durations, _json
from triggerdev.errors import PayloadError
from triggerdev.protocol import MAX_STORED_BYTES

JSON = "application/json"
TEXT = "text/plain"
SUPERJSON = "application/super+json"


def to_jsonable(value: Any) -> Any:
    """Convert what JSON cannot hold: models, sets, Decimal, Path, ... Raises TypeError for the rest."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return _sorted_if_possible(value)
    if isinstance(value, (decimal.Decimal, pathlib.PurePath, uuid.UUID)):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None and not isinstance(value, type):
        return {name: getattr(value, name) for name in fields}
    raise TypeError(f"a `{type(value).__name__}` object cannot be written as JSON")


def _sorted_if_possible(values: "set[Any] | frozenset[Any]") -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def dump(value: Any) -> str:
    """Write a value as JSON text. Raises PayloadError that names the place of what cannot be written."""
    try:
        return _json.dumps(value, to_jsonable)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(explain(value, error)) from None


def dump_payload(value: Any, what: str = "payload") -> str | None:
    """Write a payload as JSON text; None is no payload. Raises PayloadError, also if over 10 MB."""
    if value is None:
        return None
    try:
        text = _json.dumps(value, to_jsonable)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(explain(value, error, what)) from None
    size = len(text) if text.isascii() else len(text.encode())
    if size > MAX_STORED_BYTES:
        raise PayloadError(
            f"The {what} is {size:,} bytes as JSON; at most {MAX_STORED_BYTES:,} (10 MB) can be sent. "
            "Store it elsewhere and send a reference."
        )
    return text


def explain(value: Any, error: Exception, what: str = "value") -> str:
    """Say which part of a value JSON cannot hold: "payload.items[3].at: a `socket` object cannot ..."."""
    place, reason = _find(value, what, 0) or (what, str(error))
    return f"{place}: {reason}"


def _find(value: Any, place: str, depth: int) -> tuple[str, str] | None:
    if depth > 200:
        return place, "is nested too deeply, or contains itself"
    if isinstance(value, Mapping):
        parts = [(f"{place}.{key}", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        return _find_in_leaf(value, place, depth)
    for part, item in parts:
        found = _find(item, part, depth + 1)
        if found:
            return found
    return None


def _find_in_leaf(value: Any, place: str, depth: int) -> tuple[str, str] | None:
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None and not isinstance(value, type):
        return _find({name: getattr(value, name) for name in fields}, place, depth + 1)
    try:
        _json.dumps(value, to_jsonable)
    except Exception as error:
        reason = str(error.__cause__ or error)
        return place, reason.removeprefix("Type is not JSON serializable: ")
    return None


def load(text: str | None, kind: str) -> Any:
    """Read text of a packet type. Raises PayloadError for text that is not of that type."""
    if text is None or kind == TEXT:
        return text
    try:
        value = _json.loads(text) if text else None
    except ValueError as error:
        raise PayloadError(f"Not valid JSON: {error}") from None
    if kind == JSON:
        return value
    if kind == SUPERJSON:
        return revive(value)
    raise PayloadError(f"Cannot read a value of type {kind!r}; known are {JSON}, {TEXT} and {SUPERJSON}.")


def revive(packet: Any) -> Any:
    """Rebuild what superjson describes: dates, bigints, undefined, sets, maps, NaN, shared references."""
    if not isinstance(packet, dict) or "json" not in packet:
        return packet
    holder = {"root": packet["json"]}
    meta = packet.get("meta") or {}
    values = meta.get("values")
    if isinstance(values, list):  # the root itself has a type
        _apply_tree(holder, ["root"], values)
    elif isinstance(values, dict):
        for path, tree in values.items():
            _apply_tree(holder, ["root", *_split(path)], tree)
    _share(holder, meta.get("referentialEqualities"))
    return holder["root"]


def _share(holder: dict[str, Any], equalities: Any) -> None:
    if isinstance(equalities, list):  # [[paths equal to the root], {the rest}]
        equalities = equalities[1] if len(equalities) > 1 else {}
    for source, copies in (equalities or {}).items():
        value = _get(holder, ["root", *_split(source)])
        for copy in copies:
            _put(holder, ["root", *_split(copy)], value)


def _apply_tree(holder: dict[str, Any], path: list[str], tree: Any) -> None:
    """Apply one entry: [type] or [type, {inner path: tree}]; inner parts are revived first."""
    if isinstance(tree, dict):
        for inner, subtree in tree.items():
            _apply_tree(holder, [*path, *_split(inner)], subtree)
        return
    kind, *rest = tree if isinstance(tree, list) else [tree]
    for inner_map in rest:
        _apply_tree(holder, path, inner_map)
    _put(holder, path, _revive_one(kind, _get(holder, path)))


def _revive_one(kind: Any, value: Any) -> Any:
    name = kind[0] if isinstance(kind, list) and kind else kind
    match name:
        case "Date":
            return _date(value)
        case "bigint":
            return int(value)
        case "undefined":
            return None
        case "set":
            return _as_set(value)
        case "map":
            return {_hashable(key): item for key, item in value}
        case "number":
            return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"), "-0": -0.0}[
                value
            ]
        case "regexp":
            return re.compile(value.strip("/").rsplit("/", 1)[0])
        case _:  # URL, Error, symbols, custom: the JSON part is the best we have
            return value


def _date(value: Any) -> Any:
    ms = _durations.parse_instant_ms(value) if isinstance(value, str) else None
    return value if ms is None else datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)


def _as_set(items: list[Any]) -> Any:
    try:
        return set(items)
    except TypeError:
        return items


def _hashable(key: Any) -> Any:
    return tuple(key) if isinstance(key, list) else key


def _split(path: str) -> list[str]:
    parts = re.split(r"(?<!\\)\.", path)
    return [part.replace("\\.", ".").replace("\\\\", "\\") for part in parts]


def _get(holder: Any, path: list[str]) -> Any:
    for part in path:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    return holder


def _put(holder: Any, path: list[str], value: Any) -> None:
    target = _get(holder, path[:-1])
    if isinstance(target, list):
        target[int(path[-1])] = value
    elif isinstance(target, dict):
        target[path[-1]] = value
