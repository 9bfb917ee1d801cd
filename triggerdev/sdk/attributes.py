"""Attributes of spans: plain values within limits, as OpenTelemetry has them."""

import math
from collections.abc import Mapping
from typing import Any

from triggerdev import _json
from triggerdev.errors import PayloadError

MAX_ATTRIBUTES = 1024
MAX_VALUE_BYTES = 131_072
_MAX_INTEGER = 2**63


def put(attributes: dict[str, Any], name: Any, value: Any, where: str) -> None:
    """Set an attribute within the limits. Raises PayloadError, which names the call, for a wrong name."""
    if not isinstance(name, str) or not name:
        raise PayloadError(f"{where}: {name!r:.60} is no name of an attribute; use a text.")
    if value is not None and (name in attributes or len(attributes) < MAX_ATTRIBUTES):
        attributes[text(name)] = plain(value)


def cleaned(given: Any, where: str) -> dict[str, Any]:
    """Give attributes within the limits."""
    if given is not None and not isinstance(given, Mapping):
        raise PayloadError(f"{where}: {given!r:.60} are no attributes; use a mapping of names to values.")
    found: dict[str, Any] = {}
    for name, value in (given or {}).items():
        put(found, name, value, where)
    return found


def lenient(given: Mapping[Any, Any]) -> dict[str, Any]:
    """Give attributes within the limits; names that are no texts become some."""
    return cleaned({str(name) or "?": value for name, value in given.items()}, "attributes")


def plain(value: Any) -> Any:
    """Give a value that an attribute can have: anything but texts, numbers and lists of them becomes text."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool) or (isinstance(value, int) and -_MAX_INTEGER <= value < _MAX_INTEGER):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple) and _is_of_one_kind(value):
        kept = [plain(item) for item in value]
        return kept if len(_json.dump_bytes(kept)) <= MAX_VALUE_BYTES else text(_json.dumps(kept))
    return text(_as_text(value))


def text(value: str) -> str:
    """Give a text that UTF-8 can hold, cut at 131,072 bytes."""
    if len(value) * 4 <= MAX_VALUE_BYTES and value.isascii():
        return value
    data = value[:MAX_VALUE_BYTES].encode("utf-8", "backslashreplace")
    return data[:MAX_VALUE_BYTES].decode("utf-8", "ignore")


def _is_of_one_kind(values: Any) -> bool:
    kinds = {type(item) for item in values}
    return len(kinds) == 1 and kinds <= {str, bool, int, float}


def _as_text(value: Any) -> str:
    if isinstance(value, int | float):
        return repr(value)
    try:
        return _json.dumps(value, default=str)
    except Exception:  # what its own __str__ raises must not end the task
        return object.__repr__(value)
