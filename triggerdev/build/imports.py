"""Imports that nothing provides: neither the project, nor its dependencies, nor what is declared external."""

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata

from triggerdev.build import digests, tokens
from triggerdev.build.dependencies import Dependencies
from triggerdev.build.files import APP, FileEntry
from triggerdev.build.source import RUNTIME_REQUIREMENTS

_VERSION = 1
"""Of what is found in a file; another one when that changes."""

# Import names of widely used distributions whose own name differs, for when they are not installed here.
_KNOWN = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "Crypto": "pycryptodome",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "gitpython",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slack_sdk": "slack-sdk",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}


def unprovided(
    source: Sequence[FileEntry],
    dependencies: Dependencies,
    externals: Iterable[str],
    further: frozenset[str] = frozenset(),
) -> list[tuple[str, str]]:
    """Find imports that nothing provides, as (import name, "file.py:line" of the first), sorted by name.

    Imports that a program can do without (those in `try ... except ImportError` or `if TYPE_CHECKING`) do not
    count. `further` are normalised names of distributions beside the project's own.
    """
    missing: dict[str, str] = {}
    known = _local_names(source) | {name.partition(".")[0] for name in externals}
    for entry in source:
        for name, line in _imports(entry):
            if name not in known and name not in sys.stdlib_module_names:
                missing.setdefault(name, f"{entry.source}:{line}")
    # What is cheap to know comes first: installed distributions are read only for names that are still open.
    provided = dependencies.names | _OURS | further
    missing = {name: place for name, place in missing.items() if not _provides(provided, (name,))}
    if missing and not dependencies.complete:
        provided = _closure(provided)
    installed = metadata.packages_distributions() if missing else {}
    return sorted(
        (name, place)
        for name, place in missing.items()
        if not _provides(provided, (name, *installed.get(name, ())))
    )


_OURS = frozenset(tokens.requirement_name(requirement) for requirement in RUNTIME_REQUIREMENTS)


def _provides(provided: frozenset[str], names: Sequence[str]) -> bool:
    candidates = [*names, _KNOWN.get(names[0], names[0])]
    return any(tokens.normalise_distribution(candidate) in provided for candidate in candidates)


def _local_names(source: Sequence[FileEntry]) -> set[str]:
    names = {"triggerdev"}
    for entry in source:
        parts = entry.destination.removeprefix(APP + "/").split("/")
        names.add(parts[0].removesuffix(".py"))
        if parts[0] == "src" and len(parts) > 1:
            names.add(parts[1].removesuffix(".py"))
        if len(parts) > 1:
            names.add(parts[-1].removesuffix(".py"))  # siblings of a script import each other by bare names
    return names


def _closure(distributions: frozenset[str]) -> frozenset[str]:
    """Add what distributions need themselves, which is known for those installed here."""
    known = set(distributions)
    waiting = list(known)
    while waiting:
        for requirement in _requirements(waiting.pop()):
            name = tokens.requirement_name(requirement)
            if name and name not in known:
                known.add(name)
                waiting.append(name)
    return frozenset(known)


def _requirements(distribution: str) -> list[str]:
    try:
        return metadata.requires(distribution) or []
    except (metadata.PackageNotFoundError, ValueError):
        return []


def _imports(entry: FileEntry) -> list[tuple[str, int]]:
    """Give the modules that a file needs, with their lines; a file that was read before is not read again."""
    if not entry.source.endswith(".py"):
        return []
    name = f"imports {_VERSION} {sys.version_info[:2]} {entry.sha256}"
    return [(str(module), int(line)) for module, line in digests.fact(name, lambda: _read(entry))]


def _read(entry: FileEntry) -> list[tuple[str, int]]:
    content = entry.content if entry.content is not None else entry.path.read_bytes() if entry.path else b""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return []  # indexing reports it, with its line
    return list(dict(reversed(list(_needed(tree)))).items())  # the first line of each


def _needed(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        yield node.module.partition(".")[0], node.lineno
    for child in _children(node):
        yield from _needed(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node whose imports must succeed."""
    if isinstance(node, ast.Try) and any(_catches_import_error(handler) for handler in node.handlers):
        yield from (*node.handlers, *node.orelse, *node.finalbody)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        yield from node.orelse
    else:
        yield from ast.iter_child_nodes(node)


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = ast.dump(handler.type)
    return any(f"'{name}'" in caught for name in ("ImportError", "ModuleNotFoundError", "Exception"))
