"""The one serialiser: JSON on every wire and in every row, never pickle."""

import json
import re
from collections.abc import Callable
from typing import Any

import orjson

_BIG_NUMBER = re.compile(rb"\d{19}")
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def dumps(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Serialise a value as compact JSON text.

    Dates become ISO 8601 strings; dataclasses become objects. Integers beyond 64 bits are kept exactly.
    Raises TypeError for a value that JSON cannot hold and `default` does not convert.
    """
    return dump_bytes(value, default).decode()


def dump_bytes(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Serialise as `dumps` does, to UTF-8 bytes."""
    try:
        return orjson.dumps(value, default, _OPTIONS)
    except orjson.JSONEncodeError as error:
        if "64-bit" not in str(error):
            raise
        return json.dumps(value, default=default, separators=(",", ":"), ensure_ascii=False).encode()


def loads(text: str | bytes) -> Any:
    """Parse JSON text. Raises ValueError with the position of the first mistake."""
    raw = text.encode() if isinstance(text, str) else text
    if _BIG_NUMBER.search(raw):
        return json.loads(raw)  # orjson would round integers beyond 64 bits to floats
    return orjson.loads(raw)
