"""Diagnostics as text: message, place, the source line with a caret, and what to do."""

import unicodedata
from collections.abc import Iterable, Sequence

from triggerdev.errors import ConfigError, Diagnostic

_WINDOW = 100
_LEAD = 30


def config_error(diagnostics: Iterable[Diagnostic]) -> ConfigError:
    """Gather mistakes in one error, by file and position, each place and message once."""
    found = sorted(set(diagnostics), key=lambda d: (d.file, d.line, d.column, d.message))
    return ConfigError(_text(found), found)


def _text(found: Sequence[Diagnostic]) -> str:
    """Render mistakes as the message of one error, which whoever prints it begins with "error: "."""
    if len(found) == 1:
        return render(found[0]).removeprefix("error: ")
    files = ", ".join(dict.fromkeys(visible(diagnostic.file) for diagnostic in found))
    return "\n\n".join([f"{len(found)} mistakes in {files}", *(render(diagnostic) for diagnostic in found)])


def render(diagnostic: Diagnostic) -> str:
    """Render one diagnostic as plain text without control characters."""
    number = str(diagnostic.line)
    gutter = " " * len(number)
    before, marked, after = _window(diagnostic)
    lines = [
        f"error: {visible(diagnostic.message)}",
        f"{gutter}--> {visible(diagnostic.file)}:{diagnostic.line}:{diagnostic.column}",
        f"{gutter} |",
        f"{number} | {before}{marked}{after}".rstrip(),
        f"{gutter} | {' ' * _width(before)}{'^' * max(1, _width(marked))}",
    ]
    if diagnostic.help:
        lines.append(f"{gutter} = help: {visible(diagnostic.help)}")
    return "\n".join(lines)


def visible(text: str) -> str:
    """Replace control characters, so that no text from a file can drive a terminal."""
    return "".join(c if c.isprintable() else " " if c in "\t\n" else f"\\x{ord(c):02x}" for c in text)


def _window(diagnostic: Diagnostic) -> tuple[str, str, str]:
    """Split the source line around the marked part, cut to a readable width."""
    line = diagnostic.source
    start = min(diagnostic.column - 1, len(line))
    end = min(start + diagnostic.length, len(line))
    left = start - _LEAD if len(line) > _WINDOW and start > _LEAD else 0
    right = left + _WINDOW
    before = ("…" if left else "") + visible(line[left:start])
    after = visible(line[end:right]) + ("…" if len(line) > right else "")
    return before, visible(line[start : min(end, right)]), after


def _width(text: str) -> int:
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
