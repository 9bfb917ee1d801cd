"""Imports that nothing provides: neither the project, nor its dependencies, nor what is declared external."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import metadata

from triggerdev.build import digests, tokens
from triggerdev.build.dependencies import Dependencies
from triggerdev.build.files import APP, FileEntry
from triggerdev.build.source import RUNTIME_REQUIREMENTS

_VERSION = 2
"""Of what is found in a file; another one when that changes."""

_GAP = r"(?:[ \t\f]|\\\n)"
_LOOKS_LIKE_IMPORT = re.compile(
    rf"(?:^|[:;]){_GAP}*"
    rf"(?:from{_GAP}+(?:(\w+)\b|\.)(?:[\w.]|{_GAP})*?\bimport\b|import{_GAP}+(\w(?:[\w.,]|{_GAP})*))",
    re.MULTILINE,
)
_WORD = re.compile(r"\w+")
_UNREADABLE = "?"

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
    direct = dependencies.names | _OURS | further

    @cache
    def is_open(name: str) -> bool:
        return name not in known and name not in sys.stdlib_module_names and not _provides(direct, (name,))

    # What is cheap to know comes first: a file is parsed only if one of the names that it may import is open,
    # and installed distributions are read only for names that still are.
    for entry in source:
        if entry.source.endswith(".py") and any(is_open(name) for name in _candidates(entry)):
            for name, line in _imports(entry):
                if is_open(name):
                    missing.setdefault(name, f"{entry.source}:{line}")
    provided = _closure(direct) if missing and not dependencies.complete else direct
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


def _candidates(entry: FileEntry) -> list[str]:
    """Give all names that a file may import, and some that only look like it: of comments, of texts."""
    name = f"candidates {_VERSION} {entry.sha256}"
    return [str(each) for each in digests.fact(name, lambda: _scan(_content(entry)))]


def _scan(content: bytes) -> list[str]:
    """Look for imports without parsing, which takes fifty times as long."""
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return [_UNREADABLE]  # no UTF-8; parsing knows other encodings
    found: set[str] = set()
    for match in _LOOKS_LIKE_IMPORT.finditer(text):
        parts = [match[1]] if match[1] else (match[2] or "").split(",")
        found.update(word[0] for part in parts if (word := _WORD.search(part)))
    return sorted(found)


def _imports(entry: FileEntry) -> list[tuple[str, int]]:
    """Give the modules that a file needs, with their lines; a file that was read before is not read again."""
    name = f"imports {_VERSION} {sys.version_info[:2]} {entry.sha256}"
    return [(str(module), int(line)) for module, line in digests.fact(name, lambda: _read(entry))]


def _read(entry: FileEntry) -> list[tuple[str, int]]:
    try:
        tree = ast.parse(_content(entry))
    except (SyntaxError, ValueError):
        return []  # indexing reports it, with its line
    return list(dict(reversed(list(_needed(tree)))).items())  # the first line of each


def _content(entry: FileEntry) -> bytes:
    if entry.content is not None:
        return entry.content
    return entry.path.read_bytes() if entry.path else b""


def _needed(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        yield node.module.partition(".")[0], node.lineno
    for statement in _statements(node):
        yield from _needed(statement)


_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""Where statements hold others, in the order of their lines. Expressions hold no import."""


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a statement holds whose imports must succeed."""
    blocks: tuple[str, ...] = _BLOCKS
    if isinstance(node, ast.Try) and any(_catches_import_error(handler) for handler in node.handlers):
        blocks = ("handlers", "orelse", "finalbody")
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        blocks = ("orelse",)
    for block in blocks:
        yield from getattr(node, block, ())


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = ast.dump(handler.type)
    return any(f"'{name}'" in caught for name in ("ImportError", "ModuleNotFoundError", "Exception"))
