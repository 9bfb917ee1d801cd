"""Messages made fit for JSON, whatever is in them: what user code logs or raises must not cost one."""

import math
from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 100
_MAX_REPR = 1000


def make_plain(value: Any, depth: int = 0) -> Any:
    """Copy a value with every part that JSON cannot hold replaced.

    Surrogates in text become escapes such as `\\ud800`, other objects their repr (1,000 characters at most),
    which also stands for what is nested more than 100 levels deep.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if depth >= _MAX_DEPTH:
        return _repr(value)
    if isinstance(value, Mapping):
        return {_key(key): make_plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [make_plain(item, depth + 1) for item in value]
    return _repr(value)


def _key(key: Any) -> str:
    return make_plain(key) if isinstance(key, str) else _repr(key)


def _repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # an object of the user may not even have a text
        text = f"<{type(value).__name__}: no repr, {type(error).__name__}>"
    return text[:_MAX_REPR].encode("utf-8", "backslashreplace").decode()
