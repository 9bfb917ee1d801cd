"""Spellings of keys: camelCase to snake_case, TOML's own notation, and the nearest known name."""

import difflib
import re
from collections.abc import Iterable

from triggerdev.config.positions import KeyPath

_BEFORE_WORD = re.compile(r"(.)([A-Z][a-z]+)")
_BEFORE_CAPITALS = re.compile(r"([a-z0-9])([A-Z])")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 100


def snake_case(name: str) -> str:
    """Convert camelCase: "minTimeoutInMs" is "min_timeout_in_ms", "extraCACerts" "extra_ca_certs"."""
    return _BEFORE_CAPITALS.sub(r"\1_\2", _BEFORE_WORD.sub(r"\1_\2", name)).replace("__", "_").lower()


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one, or None if none is near."""
    if len(name) > _LONGEST:
        return None
    wanted = snake_case(name).replace("-", "_").replace(" ", "_")
    spellings = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    found = difflib.get_close_matches(wanted, spellings, n=1, cutoff=0.6)
    return spellings[found[0]] if found else None


def dotted(path: KeyPath) -> str:
    """Write a path as TOML does: `build.extensions."my ext".files[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else _quoted(part))
    return text


def _quoted(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
