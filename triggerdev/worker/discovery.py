"""Which files are task files, and under which name each is imported."""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from triggerdev.protocol import SourceProblem
from triggerdev.worker.importing import is_user_file


def find_task_files(root: Path, folders: Sequence[str], ignore: Sequence[str]) -> list[Path]:
    """Find the task files of the folders, sorted, each once; an `init.py` at the top of a folder is first.

    Tests (`test_*.py`, `*_test.py`, `conftest.py`), hidden folders and what `ignore` matches are left out;
    the globs are relative to the root, `**` crosses folders.
    """
    found: dict[Path, None] = {}
    inits = set()
    for folder in folders:
        start = Path(os.path.normpath(root / folder))
        inits.add(start / "init.py")
        for file in [start] if start.is_file() else _walk(start):
            if not _is_left_out(file, root, ignore):
                found[file] = None
    return sorted(found, key=lambda file: (file not in inits, file))


def missing_folders(root: Path, folders: Sequence[str]) -> list[SourceProblem]:
    """Describe each configured folder that does not exist."""
    return [
        SourceProblem(
            kind="import",
            message=f"The task folder {folder!r} (`dirs` of the config) does not exist below {root}.",
            file=folder,
            line=1,
        )
        for folder in folders
        if not (root / folder).exists()
    ]


def nameless(file: Path, root: Path) -> SourceProblem | None:
    """Describe a file whose name is no UTF-8, so that no message could name it."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        shown = str(file.relative_to(root)).encode(errors="backslashreplace").decode()
        message = "The file's name is not valid UTF-8. Rename it."
        return SourceProblem(kind="import", message=message, file=shown, line=1)
    return None


def module_name(file: Path) -> str:
    """Name a file relative to the longest entry of sys.path that holds it.

    `trigger/basic.py` is `trigger.basic`.
    """
    holders = [Path(entry) for entry in sys.path if entry and file.is_relative_to(entry)]
    base = max(holders, key=lambda entry: len(entry.parts), default=file.parent)
    parts = list(file.relative_to(base).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def is_importable(name: str) -> bool:
    """Tell whether an import statement can spell this module name."""
    return all(part.isidentifier() for part in name.split("."))


def shadowed(name: str, file: Path, root: Path) -> SourceProblem | None:
    """Describe the installed package that hides the package of this task file, if there is one."""
    top = name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = [*(spec.submodule_search_locations or []), *([spec.origin] if spec.origin else [])]
    if any(is_user_file(place, root) for place in places):
        return None
    where = spec.origin or ", ".join(places)
    return SourceProblem(
        kind="shadowed",
        message=f"The module {top!r} of this project is hidden by the installed package {top!r} ({where}). "
        f"Rename {file.relative_to(root).parts[0]!r}, or uninstall that package.",
        file=str(file.relative_to(root)),
        line=1,
    )


def _walk(start: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(start):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__pycache__"))]
        yield from (Path(folder, name) for name in files if name.endswith(".py") and not name.startswith("."))


def _is_left_out(file: Path, root: Path, ignore: Sequence[str]) -> bool:
    name = file.name
    if name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py"):
        return True
    if not is_user_file(str(file), root):
        return True
    path = file.relative_to(root).as_posix()
    return any(_glob(pattern).fullmatch(path) for pattern in ignore)


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    pattern = pattern.removeprefix("./")
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(special.get(part, re.escape(part)) for part in parts))
