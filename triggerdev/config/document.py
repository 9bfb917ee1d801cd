"""A TOML file as a tree that remembers where each key and value was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from triggerdev.config import positions, rendering
from triggerdev.config.positions import KeyPath, Place, Span
from triggerdev.config.source import Position, Source, diagnostic_at, read_text
from triggerdev.errors import ConfigError

MAX_BYTES = 1_000_000


@dataclass(slots=True)
class Node:
    """A value and its origin. `value` is a dict of nodes, a list of nodes, or a scalar.

    `env` names the override table that the value came from; `variables` those that were put into the text.
    """

    value: Any
    key: Span | None = None
    span: Span | None = None
    env: str | None = None
    variables: tuple[str, ...] = ()

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def find(self, path: KeyPath) -> tuple[Node, int]:
        """Return the node at a path, or the nearest around it, and how many parts of the path exist."""
        node = self
        for depth, part in enumerate(path):
            child = node.child(part)
            if child is None:
                return node, depth
            node = child
        return node, len(path)

    def child(self, part: str | int) -> Node | None:
        """Return the value under a key or at an index, None if there is none."""
        value = self.value
        if isinstance(value, dict) and isinstance(part, str):
            return value.get(part)
        if isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
            found: Node = value[part]
            return found
        return None

    def children(self) -> Iterator[Node]:
        """Yield the nodes directly below."""
        if isinstance(self.value, dict):
            yield from self.value.values()
        elif isinstance(self.value, list):
            yield from self.value

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for child in self.children():
            yield from child.walk()

    @property
    def place(self) -> Span | None:
        """Where the value was written; for a table with a header, its name."""
        return self.span or self.key


def read_document(path: Path) -> tuple[Source, Node]:
    """Read and parse a TOML file; ConfigError for everything that can be wrong with it as a file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes; this is no configuration file")
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    source = Source(path, text)
    return source, _parse(source)


def _not_utf8(path: Path, error: UnicodeDecodeError) -> ConfigError:
    before = error.object[: error.start].decode("utf-8", "replace")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    text = error.object.decode("utf-8", "replace").replace("\r\n", "\n")
    message = f"the byte 0x{error.object[error.start]:02x} is not valid UTF-8"
    where = Position(line, column, 1)
    hint = "save the file as UTF-8"
    return rendering.config_error([diagnostic_at(path, text, where, message, hint=hint)])


def _parse(source: Source) -> Node:
    try:
        data = tomli.loads(source.text)
        places = positions.scan(source.text)
    except tomli.TOMLDecodeError as error:
        raise _syntax_error(source, error) from None
    except positions.NestedTooDeeplyError as error:
        span = Span(error.offset, error.offset + 1)
        raise rendering.config_error([source.diagnostic(span, "nested too deeply")]) from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, brackets without end
        message = "nested too deeply" if isinstance(error, RecursionError) else f"not usable: {error}"
        raise rendering.config_error([source.diagnostic(None, message)]) from None
    return _build(data, places, (), Place(None, None))


def _syntax_error(source: Source, error: tomli.TOMLDecodeError) -> ConfigError:
    message = f"not valid TOML: {error.msg[:1].lower()}{error.msg[1:]}"
    where = Position(error.lineno, error.colno, 1)
    return rendering.config_error([diagnostic_at(source.path, source.text, where, message)])


def _build(value: Any, places: dict[KeyPath, Place], path: KeyPath, place: Place) -> Node:
    nowhere = Place(None, None)
    if isinstance(value, dict):
        below = ((key, (*path, key), item) for key, item in value.items())
        content: Any = {k: _build(v, places, p, places.get(p, nowhere)) for k, p, v in below}
    elif isinstance(value, list):
        steps = (((*path, index), item) for index, item in enumerate(value))
        content = [_build(v, places, p, places.get(p, nowhere)) for p, v in steps]
    else:
        content = value
    return Node(content, place.key, place.value)
