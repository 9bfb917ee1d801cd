"""A configuration file's text: offsets as lines and columns, and the diagnostics that point at them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from triggerdev.errors import Diagnostic

if TYPE_CHECKING:
    from triggerdev.config.positions import Span


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file: line and column count from 1, length in characters."""

    line: int
    column: int
    length: int


def shown_path(path: Path) -> str:
    """Return a path as people read it: relative to the working folder when it lies below it."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return os.fspath(path)


def read_text(path: Path) -> str:
    """Read a UTF-8 file with line ends as "\\n"; OSError and UnicodeDecodeError pass."""
    return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")


class Source:
    """The text of one file, lines ending with "\\n"."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    def position(self, span: Span | None) -> Position:
        """Convert a span to line, column and length, which ends with its first line. None: the top."""
        if span is None:
            return Position(1, 1, 1)
        line_start = self.text.rfind("\n", 0, span.start) + 1
        line_end = self.text.find("\n", span.start)
        end = min(span.end, line_end) if line_end >= 0 else span.end
        line = self.text.count("\n", 0, span.start) + 1
        return Position(line, span.start - line_start + 1, max(1, end - span.start))

    def diagnostic(self, span: Span | None, message: str, *, hint: str | None = None) -> Diagnostic:
        """Build the diagnostic that points at a span."""
        where = self.position(span)
        return diagnostic_at(self.path, self.text, where, message, hint=hint)


def diagnostic_at(
    path: Path, text: str, where: Position, message: str, *, hint: str | None = None
) -> Diagnostic:
    """Build the diagnostic that points at a position of a file with this text."""
    lines = text.split("\n", where.line)
    source = lines[where.line - 1] if where.line <= len(lines) else ""
    return Diagnostic(message, shown_path(path), where.line, where.column, where.length, hint, source)
