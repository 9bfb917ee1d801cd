"""The build folder: Containerfile, build.json and the files of each layer."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev.build import render
from triggerdev.build.files import FileEntry
from triggerdev.build.plan import ImagePlan


def write(folder: Path, plan: ImagePlan, containerfile: str, document: dict[str, Any]) -> None:
    """Write a build folder; one that is there is replaced as a whole, or kept if this fails.

    Raises BuildError for files that changed since they were read, EnvironmentProblemError for what the disk
    refuses.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _disk(folder, error) from None
    try:
        fill(fresh, plan, containerfile)
        _text(fresh / "build.json", json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n")
        _settle(fresh)
        _replace(fresh, folder)
    except OSError as error:
        raise _disk(folder, error) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def fill(folder: Path, plan: ImagePlan, containerfile: str) -> None:
    """Write a Containerfile and the files of a plan's layers into a folder.

    Raises BuildError for files that changed since they were read.
    """
    _text(folder / "Containerfile", containerfile)
    for layer in plan.layers:
        _copy(folder / render.folder_of(layer), (*layer.files, *layer.inputs))


def _settle(folder: Path) -> None:
    """Give everything in a folder the same modes and times wherever it is."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, ns=(0, 0))
    folder.chmod(0o755)


def _text(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o644)


def _copy(folder: Path, entries: Iterable[FileEntry]) -> None:
    for entry in entries:
        target = Path(os.path.normpath(folder / entry.destination.lstrip("/")))
        if not target.is_relative_to(folder):
            raise errors.BuildError(f"{entry.destination} would leave the build folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.content is not None:
            target.write_bytes(entry.content)
        elif entry.path is not None:
            shutil.copyfile(entry.path, target)
            _unchanged(target, entry)
        target.chmod(entry.mode)


def _unchanged(target: Path, entry: FileEntry) -> None:
    with target.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != entry.sha256:
            raise errors.BuildError(f"{entry.source} changed while it was being read; start again")


def _replace(fresh: Path, folder: Path) -> None:
    if not os.path.lexists(folder):
        fresh.rename(folder)
        return
    if folder.is_symlink() or not folder.is_dir():
        raise errors.EnvironmentProblemError(f"{folder} is not a folder; move it away")
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(old / "build")
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _disk(folder: Path, error: OSError) -> errors.EnvironmentProblemError:
    return errors.EnvironmentProblemError.of_disk(f"cannot write the build folder {folder}", error)
