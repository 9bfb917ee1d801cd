"""Digests of files that have not changed, and what was found in contents, remembered between builds.

A file counts as unchanged while its size, mode, inode and both of its times are what they were when it was
read. Times have a granularity, so a file could change twice within one tick: what was younger than two
seconds when it was read is not remembered, by the clock of the disk that it lies on.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

FILE = ".trigger/cache/digests.json"
_VERSION = 2
_YOUNG = 2 * 10**9
_State = tuple[int, int, int, int, int]
_Entry = tuple[_State, str]

_current: ContextVar["Digests | None"] = ContextVar("digests", default=None)


class Digests:
    """What is known of the files of one machine; `now` is the disk's clock in nanoseconds."""

    def __init__(self, known: dict[str, _Entry], facts: dict[str, Any], now: int) -> None:
        self._known, self._facts, self._now = known, facts, now
        self.seen: dict[str, _Entry] = {}
        self.found: dict[str, Any] = {}
        self.changed = False

    def of(self, path: Path) -> tuple[os.stat_result, str]:
        """Give a file's state and sha256; it is read unless it is unchanged. Raises OSError."""
        state = path.stat()
        key = str(path)
        entry = self._known.get(key)
        if entry is not None and entry[0] == _described(state):
            self.seen[key] = entry
            return state, entry[1]
        state, digest = _read(path)
        self.changed = True
        if max(state.st_mtime_ns, state.st_ctime_ns) < self._now - _YOUNG:
            self.seen[key] = (_described(state), digest)
        return state, digest

    def fact(self, name: str, find: Callable[[], Any]) -> Any:
        """Give what is known under a name, else find it."""
        if name in self._facts:
            self.found[name] = self._facts[name]
        else:
            self.found[name] = find()
            self.changed = True
        return self.found[name]


def fact(name: str, find: Callable[[], Any]) -> Any:
    """Give what was found in a content before; plain data. The name holds what it follows from: a digest."""
    current = _current.get()
    return find() if current is None else current.fact(name, find)


def digest(path: Path) -> tuple[os.stat_result, str]:
    """Give a file's state and sha256, from memory where one is kept. Raises OSError."""
    current = _current.get()
    return _read(path) if current is None else current.of(path)


@contextmanager
def remembered(root: Path) -> Iterator[None]:
    """Remember digests in a project's folder; without effect where nothing can be written there."""
    file = root / FILE
    now = _disk_time(file.parent)
    if now is None:
        yield
        return
    current = Digests(*_load(file), now)
    token = _current.set(current)
    try:
        yield
    finally:
        _current.reset(token)
    if current.changed:
        _save(file, current)


def _described(state: os.stat_result) -> _State:
    return (state.st_size, state.st_mode, state.st_ino, state.st_mtime_ns, state.st_ctime_ns)


def _read(path: Path) -> tuple[os.stat_result, str]:
    with path.open("rb") as stream:
        state = os.fstat(stream.fileno())
        return state, hashlib.file_digest(stream, "sha256").hexdigest()


def _disk_time(folder: Path) -> int | None:
    """Ask the disk for its time, by a new file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _load(file: Path) -> tuple[dict[str, _Entry], dict[str, Any]]:
    try:
        value = json.loads(file.read_bytes())
        if value["version"] != _VERSION:
            return {}, {}
        files = {key: (_state(state), str(found)) for key, (state, found) in value["files"].items()}
        return files, dict(value["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}  # none yet, or damaged: everything is read


def _state(value: list[int]) -> _State:
    size, mode, inode, modified, changed = value
    return size, mode, inode, modified, changed


def _save(file: Path, current: Digests) -> None:
    whole = {"version": _VERSION, "files": current.seen, "facts": current.found}
    try:
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as partial:
            json.dump(whole, partial, separators=(",", ":"))
        Path(partial.name).replace(file)
    except OSError:
        pass  # the next build reads the files again
