"""Text for terminals: safe, aligned, coloured; errors with the user's frames first.

What a task, its payload or its error says is hostile text: `clean` makes control characters, escape sequences
and bidirectional overrides visible, and nothing is ever read as markup.
"""

import json
import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TextIO

from triggerdev import _json, protocol

# Controls but the tab, marks of direction, line separators, byte order mark, surrogates, invisible tags.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r"}
_FRAME = re.compile(r'^[\s|+]*File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_FOLDED = re.compile(r"^  \((\d{1,4}) frames of triggerdev\)$", re.MULTILINE)
_LIBRARY = re.compile(r"(?:^|/)(?:site-packages|dist-packages|triggerdev|lib/python3[^/]*)/|^<frozen ")
_MAX_LINES = 20
_MAX_WIDTH = 2000
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def clean(text: str) -> str:
    """Return the text as one safe line: what could move the cursor or reorder text is escaped."""
    return _UNSAFE.sub(_escaped, text) if _UNSAFE.search(text) else text


def clean_lines(text: str, limit: int = _MAX_LINES) -> list[str]:
    """Split at newlines and clean each line; lines past the limit are counted in a last one."""
    lines = [clean(line.rstrip("\r"))[:_MAX_WIDTH] for line in text.split("\n")]
    return lines if len(lines) <= limit else [*lines[:limit], f"... {len(lines) - limit} more lines"]


def width(text: str) -> int:
    """Count the terminal columns of a cleaned text."""
    if text.isascii():
        return len(text)
    wide = unicodedata.east_asian_width
    return sum(0 if unicodedata.combining(each) else 2 if wide(each) in "WF" else 1 for each in text)


def use_colour(stream: TextIO, plain: bool = False) -> bool:
    """Decide if a stream gets colours: `--plain`, NO_COLOR, FORCE_COLOR, then whether it is a terminal."""
    if plain or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """Wrap cleaned text in a colour of COLOURS."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows of cleaned cells in columns, two blanks between them."""
    widths = [max(width(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    return [
        "  ".join(pad(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def json_text(value: Any) -> str:
    """Serialise as one line of JSON in which characters that a terminal would obey are \\u escapes."""
    try:
        text = _json.dumps(value, default=str)
    except TypeError:  # half of a surrogate pair, which orjson refuses
        text = json.dumps(value, default=str)
    return _UNSAFE.sub(lambda hit: _json_escape(hit.group()), text)


def user_frames(stack: str, root: str) -> tuple[list[tuple[str, str]], int]:
    """Find the user's frames in a stack, innermost first, and count the others.

    A frame is ("trigger/basic.py:12 in f", source line). Files below the root are named from there.
    """
    lines = [*stack.split("\n"), ""]
    found = [
        (match, lines[n + 1].strip(" |")) for n, line in enumerate(lines) if (match := _FRAME.match(line))
    ]
    frames: list[tuple[str, str]] = []
    for match, source in found:
        file = _from_root(match["file"], root)
        if not _LIBRARY.search(file):
            where = f"{file}:{match['line']}" + (f" in {match['function']}" if match["function"] else "")
            frames.append((where, "" if _FRAME.match(source) else source))
    folded = len(found) - len(frames) + sum(int(number) for number in _FOLDED.findall(stack))
    return frames[::-1] if "Traceback (most recent call last)" in lines[0] else frames, folded


def error_lines(error: protocol.ErrorInfo, root: str = "") -> list[tuple[str, str]]:
    """Describe a run's error as (kind, text) lines; kinds are "error", "where", "source" and "note"."""
    lines = [("error", line) for line in clean_lines(_headline(error))]
    frames, folded = user_frames(error.get("stackTrace") or "", root)
    if not frames and error.get("location"):
        frames = [(error["location"], error.get("sourceLine") or "")]
    for where, source in frames[:8]:
        lines.append(("where", f"at {clean(where)}"))
        if source:
            lines.append(("source", f"    {clean(source.strip())[:_MAX_WIDTH]}"))
    hidden = folded + len(frames[8:])
    if hidden and frames:
        lines.append(("note", f"... {hidden} more frame{'s' if hidden > 1 else ''} in libraries"))
    causes = (error.get("causes") or [])[:3]
    return [*lines, *(("note", f"caused by {clean(_headline(each))[:_MAX_WIDTH]}") for each in causes)]


def problem_lines(problem: protocol.SourceProblem, root: str = "") -> list[tuple[str, str]]:
    """Describe why a file cannot be loaded: its place, the source line with a caret, the user's frames."""
    file, line = clean(_from_root(problem.get("file", ""), root)), problem.get("line")
    place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
    message = clean_lines(problem.get("message", ""))
    lines = [("error", f"{place}{message[0]}"), *(("error", each) for each in message[1:])]
    source = problem.get("source_line", "").rstrip()
    stack = problem.get("traceback", "")
    if source:
        gutter = f"{line or '':>5} | "
        lines.append(("source", gutter + clean(source)[:_MAX_WIDTH]))
        caret = _caret(source, stack)
        if caret:
            lines.append(("error", " " * (len(gutter) - 2) + "| " + caret))
    frames, _ = user_frames(stack, root)
    for where, text in frames:
        if not where.startswith(f"{file}:{line}"):
            lines += [("where", f"at {clean(where)}"), ("source", f"    {clean(text)}")]
    return lines


def _headline(error: Any) -> str:
    name, message = (
        error.get("name") or error.get("code") or "",
        error.get("message") or error.get("raw") or "",
    )
    return f"{name}: {message}" if name and message else str(name or message or "failed without a message")


def _from_root(file: str, root: str) -> str:
    prefix = root.rstrip("/") + "/"
    return file[len(prefix) :] if root and file.startswith(prefix) else file


def _caret(source: str, stack: str) -> str:
    """Find the caret line that a traceback has below a source line, moved to the line's own indentation."""
    lines = stack.split("\n")
    indent = len(source) - len(source.lstrip())
    for line, below in pairwise(lines):
        if line.strip() == source.strip() and below.strip() and not below.strip("^~ "):
            shift = len(below) - len(below.lstrip()) - (len(line) - len(line.lstrip()))
            return " " * max(0, indent + shift) + below.strip()
    return ""


def pad(text: str, size: int) -> str:
    """Fill a cleaned text up with blanks to a number of terminal columns."""
    return text + " " * (size - width(text))


def _escaped(hit: re.Match[str]) -> str:
    character = hit.group()
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))
