"""`.env` files: variables for a project, below those of the real environment."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triggerdev.config import rendering
from triggerdev.config.source import Position, diagnostic_at, read_text
from triggerdev.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from dotenv.parser import Binding

DEFAULT_FILES = (".env", ".env.local")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_LITERAL = re.compile(r"=\s*'")


class EnvFileError(ConfigError):
    """An env file that cannot be read at all."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def load_env_files(root: Path, files: Sequence[Path] | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of env files below those of `environ`; later files win, `environ` wins over all.

    Without `files`, `.env` and `.env.local` of the root are read where they exist; files that are named must
    exist. `${NAME}` and `${NAME:-default}` are filled in, except between single quotes. ConfigError tells
    every line that cannot be read.
    """
    merged, problems = read_env_files(root, files, environ)
    if problems:
        raise rendering.config_error(problems)
    return merged


def read_env_files(
    root: Path, files: Sequence[Path] | None, environ: Mapping[str, str]
) -> tuple[dict[str, str], list[Diagnostic]]:
    """Do the same, but return the mistakes of the lines instead of raising them."""
    merged: dict[str, str] = {}
    problems: list[Diagnostic] = []
    for path in _paths(root, files):
        problems += _read_text(_text(path), path, merged, environ)
    return {**merged, **environ}, problems


def parse_env_text(text: str, path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an env file's text alone; ConfigError tells every line that cannot be read."""
    found: dict[str, str] = {}
    problems = _read_text(text, path, found, environ)
    if problems:
        raise rendering.config_error(problems)
    return found


def _read_text(text: str, path: Path, merged: dict[str, str], environ: Mapping[str, str]) -> list[Diagnostic]:
    """Add a text's variables to those that are known; tell what cannot be read."""
    problems = []
    for binding in _bindings(text):
        if binding.error or binding.key is None or "\0" in (binding.value or ""):
            problems.append(_malformed(path, binding))
        elif not _NAME.fullmatch(binding.key):
            problems.append(_malformed(path, binding, "not a variable's name"))
        elif binding.value is not None:
            merged[binding.key] = _filled(binding, {**merged, **environ})
    return problems


def _paths(root: Path, files: Sequence[Path] | None) -> Iterator[Path]:
    optional = {root / name for name in DEFAULT_FILES}
    for path in DEFAULT_FILES if files is None else files:
        full = root / path
        if full not in optional or full.exists():
            yield full


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        raise EnvFileError(path, f"env file {path} does not exist") from None
    except OSError as error:
        raise EnvFileError(path, f"cannot read env file {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise EnvFileError(path, f"env file {path} is not UTF-8 (byte {error.start})") from None


def _bindings(text: str) -> Iterator[Binding]:
    """Parse assignments; blank lines and comments yield nothing."""
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text)):
        if binding.error or binding.key is not None:
            yield binding


def _filled(binding: Binding, known: Mapping[str, str]) -> str:
    value = binding.value or ""
    if _LITERAL.search(binding.original.string.partition("\n")[0]):
        return value
    return _VARIABLE.sub(lambda match: known.get(match[1]) or match[2] or "", value)


def _malformed(path: Path, binding: Binding, what: str = "expected NAME=value") -> Diagnostic:
    """Point at the assignment, never showing a value: it may be a secret."""
    original = binding.original
    written = original.string
    line = original.line + written[: len(written) - len(written.lstrip())].count("\n")
    name = written.strip().partition("=")[0][:60]
    shown = "\n" * (line - 1) + name
    where = Position(line, 1, max(1, len(name)))
    return diagnostic_at(path, shown, where, what, hint='quote values of several lines: NAME="..."')
