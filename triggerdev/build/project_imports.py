"""Importing a project's own modules into the building process, and forgetting them again.

The project's folder is searched first. Its modules are compiled from source each time, because a .pyc is
matched by time and size only, and they leave `sys.modules` at the end, so that the next build sees what the
files say then.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import FileFinder, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from triggerdev import errors


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Loads source and never looks at, or writes, a cached compilation."""

    def path_stats(self, path: str | bytes) -> dict[str, float]:
        raise OSError("no cache is wanted")  # the documented way to say that there is nothing to compare with


class _ProjectFinder:
    """Finds modules below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folders = [str(self._root), str(self._root / "src")] if path is None else list(path)
        portions: list[str] = []
        for folder in folders:
            if not Path(folder).is_relative_to(self._root):
                continue
            finder = FileFinder(
                folder,
                (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
                (_FreshLoader, importlib.machinery.SOURCE_SUFFIXES),
            )
            spec = finder.find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
            if spec is not None:
                portions += spec.submodule_search_locations or []
        return _namespace(name, portions, path)


def _namespace(name: str, portions: list[str], path: Sequence[str] | None) -> ModuleSpec | None:
    """Make a package of folders without __init__.py, together with those that are installed elsewhere."""
    if not portions:
        return None
    elsewhere = PathFinder.find_spec(name, path)
    if elsewhere is not None and elsewhere.loader is not None and elsewhere.has_location:
        return None  # a package with __init__.py goes before folders without
    if elsewhere is not None:
        portions += elsewhere.submodule_search_locations or []
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = list(dict.fromkeys(portions))
    return spec


@contextmanager
def project_imports(root: Path) -> Iterator[None]:
    """Let imports find the modules of a project for as long as the block lasts."""
    own = _own_names(root)
    hidden = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in own and not _is_below(module, root)
    }
    for name in hidden:
        del sys.modules[name]
    finder = _ProjectFinder(root)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if _is_below(module, root):
                del sys.modules[name]
        sys.modules.update(hidden)


def _own_names(root: Path) -> frozenset[str]:
    """Name the modules and packages of a project that may have a namesake among the loaded modules."""
    folders = [folder for folder in (root, root / "src") if folder.is_dir()]
    names = {entry.name.removesuffix(".py") for folder in folders for entry in os.scandir(folder)}
    return frozenset(names - sys.stdlib_module_names - {"triggerdev", "__main__"})


def load_file(path: Path) -> ModuleType:
    """Load a Python file under a private name; errors of its code pass."""
    name = f"_triggerdev_extension_{abs(hash(path)):x}"
    loader = _FreshLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None  # given for every loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    loader.exec_module(module)
    return module


def _is_below(module: ModuleType, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    return any(str(place).startswith(f"{root}{os.sep}") for place in places)


def resolve_reference(reference: str, root: Path) -> Any:
    """Give what "package.module:name" or "./file.py:name" refers to; call it within `project_imports`.

    Raises BuildError for a file outside the project or missing, ImportError and AttributeError; errors of the
    imported code pass.
    """
    place, _, attribute = reference.rpartition(":")
    found: Any = load_project_file(place, root) if place.endswith(".py") else importlib.import_module(place)
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, [name for name in dir(found) if name[0] != "_"], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise errors.BuildError(f"{place} has no attribute {part!r}{hint}")
        found = getattr(found, part)
    return found


def load_project_file(place: str, root: Path) -> ModuleType:
    """Load a file by its path relative to the project; BuildError if it is outside or missing."""
    path = (root / place).resolve()
    if not path.is_relative_to(root.resolve()):
        raise errors.BuildError(f"{place!r} is outside the project")
    if not path.is_file():
        raise errors.BuildError(f"there is no file {place!r}")
    return load_file(path)
