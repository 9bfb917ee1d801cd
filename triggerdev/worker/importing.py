"""How a version imports the user's own modules: always from source, never by a .pyc.

A .pyc is valid for a size and a whole second, so two edits of the same size within one second would load old
code. A version compiles each of its few files anyway, and writes nothing into the project.
"""

import builtins
import hashlib
import importlib.util
import linecache
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from triggerdev.worker import processes

_FOREIGN_FOLDERS = frozenset(
    {"site-packages", "dist-packages", ".venv", "venv", ".trigger", "node_modules", "__pypackages__", ".git"}
)


def is_user_file(file: str, root: Path) -> bool:
    """Tell whether a file belongs to the project: below its root, but in no virtual environment."""
    prefix = f"{root}{os.sep}"
    if not file.startswith(prefix):
        return False
    inside = file[len(prefix) :]
    if sys.prefix.startswith(prefix) and file.startswith(f"{sys.prefix}{os.sep}"):
        return False
    return _FOREIGN_FOLDERS.isdisjoint(Path(inside).parts)


class Sources:
    """The user's files that a version has read: path to digest and to content.

    With a `snapshot` (path to content, as latin-1 text) files are read from it instead of the disk, which
    may have been edited since.
    """

    def __init__(self, snapshot: Mapping[str, str] | None = None) -> None:
        self.digests: dict[str, str] = {}
        self.contents: dict[str, str] = {}
        self.snapshot = snapshot

    def read(self, path: str) -> bytes | None:
        """Return what the snapshot has of a file."""
        text = self.snapshot.get(path) if self.snapshot is not None else None
        return text.encode("latin-1") if text is not None else None

    def remember(self, path: str, data: bytes) -> None:
        """Note a file, and keep its lines for tracebacks: the file may be edited while this version runs."""
        self.contents[path] = data.decode("latin-1")
        self.digests[path] = hashlib.sha256(data).hexdigest()
        try:
            lines = importlib.util.decode_source(data).splitlines(keepends=True)
        except (SyntaxError, UnicodeDecodeError):
            return  # the compiler reports it with its place
        linecache.cache[path] = (len(data), None, lines, path)


class UserLoader(SourceFileLoader):
    """Compiles a module from its source; neither reads nor writes its .pyc."""

    def __init__(self, fullname: str, path: str, sources: Sources) -> None:
        super().__init__(fullname, path)
        self._sources = sources

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        data = self._sources.read(path)
        if data is None:
            data = self.get_data(path)
        self._sources.remember(path, data)
        code = self.source_to_code(data, path)
        assert isinstance(code, CodeType)
        return code


class UserFinder(MetaPathFinder):
    """Finds the user's modules before Python's own finders do, and gives them a `UserLoader`."""

    def __init__(self, root: Path, sources: Sources) -> None:
        self._root = root
        self._sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a user's module; None leaves the name to Python's finders."""
        if fullname in sys.builtin_module_names:
            return None
        entries = [entry for entry in (sys.path if path is None else path) if self._is_user_folder(entry)]
        spec = PathFinder.find_spec(fullname, entries, target) if entries else None
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        if not is_user_file(spec.origin, self._root):
            return None
        spec.loader = UserLoader(fullname, spec.origin, self._sources)
        return spec

    def _is_user_folder(self, entry: str) -> bool:
        return entry == str(self._root) or is_user_file(f"{entry}{os.sep}", self._root)


def load_by_path(name: str, path: Path, sources: Sources) -> ModuleType:
    """Import a file under a name that no import statement could spell."""
    loader = UserLoader(name, str(path), sources)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def watch_threads() -> Iterator[list[str]]:
    """Collect the names of modules whose first import leaves a thread running, innermost first."""
    found: list[str] = []
    original = builtins.__import__
    count = processes.thread_count()

    def watched(name: str, *arguments: Any, **options: Any) -> Any:
        nonlocal count
        if name in sys.modules:
            return original(name, *arguments, **options)
        module = original(name, *arguments, **options)
        now = processes.thread_count()
        if now > count:
            found.append(name)
        count = now
        return module

    builtins.__import__ = watched
    try:
        yield found
    finally:
        builtins.__import__ = original
