"""The project's own Python source, and the part of this package that runs it in an image."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build import files, globs, keys
from triggerdev.build.files import FileEntry
from triggerdev.build.ignore import Ignore
from triggerdev.build.minify import strip_docstrings
from triggerdev.config.for_workers import worker_settings
from triggerdev.worker.deployed import code

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

RUNTIME = "/opt/triggerdev"
RUNTIME_REQUIREMENTS = ("cronsim>=2.6", "httpx>=0.28", "orjson>=3.10", "pydantic>=2.11", "tzdata>=2025.1")
"""What the runtime imports; what only the command needs (typer, rich, docker, jinja2) stays out of images."""
INIT_REQUIREMENTS = ("dumb-init>=1.2.5",)
"""The first process of a container, a static program that comes as a wheel."""

_PACKAGE = Path(__file__).resolve().parent.parent
_RUNTIME_PARTS = ("*.py", "py.typed", "sdk/**/*.py", "protocol/*.py", "worker/**/*.py")


def collect_source(
    root: Path, config: Path, ignore: Ignore, *, minify: bool = False
) -> tuple[FileEntry, ...]:
    """Gather the Python files of a project and its config file, sorted.

    With `minify` docstrings are stripped. Raises BuildError for files that cannot be part of an image.
    """
    search = globs.Search(root, (root.resolve(),), ignore, "source")
    entries = [_entry(item.path, item.below) for item in search.find("**/*.py")]
    if minify:
        entries = [_minified(entry) for entry in entries]
    if config.is_relative_to(root):
        entries.append(_entry(config, config.relative_to(root).as_posix()))
    return tuple(sorted(entries, key=lambda entry: entry.destination))


def settings_file(loaded: LoadedConfig) -> FileEntry:
    """Write what a worker must know of the config, without where the project lies on this machine."""
    settings = worker_settings(loaded)
    del settings["root"]
    return files.generated(f"{files.APP}/{code.SETTINGS}", keys.canonical(settings), loaded.path.name)


def runtime_files() -> tuple[FileEntry, ...]:
    """Gather the files of this package that execute tasks."""
    paths = sorted({path for pattern in _RUNTIME_PARTS for path in _PACKAGE.glob(pattern)})
    if not paths:
        raise errors.BuildError(f"{_PACKAGE} holds no files; the package must be installed unpacked")
    entries = []
    for path in paths:
        name = path.relative_to(_PACKAGE.parent).as_posix()
        entries.append(dataclasses.replace(files.read(path, f"{RUNTIME}/{name}", name), mode=0o644))
    return tuple(entries)


def _entry(path: Path, name: str) -> FileEntry:
    return files.read(path, f"{files.APP}/{name}", name)


def _minified(entry: FileEntry) -> FileEntry:
    assert entry.path is not None  # every source file is on disk
    stripped = files.generated(entry.destination, strip_docstrings(entry.path.read_bytes()), entry.source)
    return dataclasses.replace(stripped, mode=entry.mode)
