"""Where each key and value of a TOML text stands.

tomli gives values, not places. This scanner walks a text that tomli has accepted already, so it need not
check anything: it only finds where things begin and end.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

import tomli

KeyPath = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_LITERAL = re.compile(r"'[^']*'")
_BASIC_BLOCK = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LITERAL_BLOCK = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]+")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")

MAX_DEPTH = 64


class NestedTooDeeplyError(Exception):
    """Brackets within brackets beyond MAX_DEPTH; `offset` says where."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text: offsets in characters, the end is not included."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written; array items have no key, and tables by header have no value."""

    key: Span | None
    value: Span | None


def scan(text: str) -> dict[KeyPath, Place]:
    """Record the place of every key and value of a valid TOML text whose lines end with "\\n"."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.places


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[KeyPath, Place] = {}
        self._lengths: dict[KeyPath, int] = {}  # items so far of each array of tables

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table, 0)
            self._skip(_BLANK)

    def _header(self, brackets: int) -> KeyPath:
        self.at += brackets
        parts = self._dotted_key()
        self.at += brackets
        path: KeyPath = ()
        for name, span in parts[:-1]:
            path = self._enter((*path, name), span)
        name, span = parts[-1]
        path = (*path, name)
        if brackets == 1:
            self.places[path] = Place(
                span, None
            )  # the header itself is the better place than a dotted mention
            return path
        self.places.setdefault(path, Place(span, None))
        index = self._lengths.get(path, 0)
        self._lengths[path] = index + 1
        self.places[*path, index] = Place(span, None)
        return (*path, index)

    def _enter(self, path: KeyPath, span: Span) -> KeyPath:
        self.places.setdefault(path, Place(span, None))
        length = self._lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _pair(self, table: KeyPath, depth: int) -> None:
        parts = self._dotted_key()
        self._skip(_SPACE)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        path = table
        for name, span in parts:
            path = (*path, name)
            self.places.setdefault(path, Place(span, None))
        self.places[path] = Place(parts[-1][1], self._value(path, depth))

    def _dotted_key(self) -> list[tuple[str, Span]]:
        parts: list[tuple[str, Span]] = []
        while True:
            self._skip(_SPACE)
            parts.append(self._simple_key())
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _simple_key(self) -> tuple[str, Span]:
        start = self.at
        first = self.text[start]
        if first == '"':
            raw = self._take(_BASIC)
            name = str(tomli.loads(f"k = {raw}")["k"]) if "\\" in raw else raw[1:-1]
        elif first == "'":
            name = self._take(_LITERAL)[1:-1]
        else:
            name = self._take(_BARE_KEY)
        return name, Span(start, self.at)

    def _value(self, path: KeyPath, depth: int) -> Span:
        start = self.at
        if depth > MAX_DEPTH:
            raise NestedTooDeeplyError(start)
        if self.text[start] == "[":
            self._array(path, depth + 1)
        elif self.text[start] == "{":
            self._inline_table(path, depth + 1)
        else:
            self._scalar()
        return Span(start, self.at)

    def _array(self, path: KeyPath, depth: int) -> None:
        self.at += 1
        index = 0
        while not self._closed("]"):
            item = (*path, index)
            self.places[item] = Place(None, self._value(item, depth))
            index += 1

    def _inline_table(self, path: KeyPath, depth: int) -> None:
        self.at += 1
        while not self._closed("}"):
            self._pair(path, depth)

    def _closed(self, bracket: str) -> bool:
        """Go on to the next item; True behind the closing bracket."""
        self._skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1
            self._skip(_BLANK)
        if self.text[self.at] != bracket:
            return False
        self.at += 1
        return True

    def _scalar(self) -> None:
        for opening, pattern in (
            ('"""', _BASIC_BLOCK),
            ("'''", _LITERAL_BLOCK),
            ('"', _BASIC),
            ("'", _LITERAL),
        ):
            if self.text.startswith(opening, self.at):
                self._take(pattern)
                return
        raw = self._take(_SCALAR)
        self.at -= len(raw) - len(raw.rstrip(" \t\r"))

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            _lost(self.at)
        self.at = match.end()
        return match.group()

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        assert match is not None  # both patterns accept the empty string
        self.at = match.end()


def _lost(offset: int) -> NoReturn:
    raise AssertionError(f"the scanner and the TOML parser disagree at offset {offset}")
