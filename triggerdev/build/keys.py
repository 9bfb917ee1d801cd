"""Content keys: sha256 over canonical JSON of what a layer is made of, and of nothing else."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from triggerdev.build.files import FileEntry

FORMAT = 1
"""Grows when the same description would be built into another layer."""


def canonical(value: Any) -> bytes:
    """Write plain data as JSON bytes that depend on the data only: sorted keys, no white space, ASCII."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def key(document: Any) -> str:
    """Give the content key of a description, 64 hexadecimal digits."""
    return hashlib.sha256(canonical({"format": FORMAT, "layer": document})).hexdigest()


def chained(above: str, own: str) -> str:
    """Give the key of a stack: of what lies below, and of the layer on top of it."""
    return hashlib.sha256(f"{above}\n{own}".encode()).hexdigest()


def described(files: Iterable[FileEntry]) -> list[list[Any]]:
    """Describe files for a key: place, mode and content; owners are 0 and times are 0 for all of them."""
    return sorted([entry.destination, entry.mode, entry.sha256] for entry in files)
