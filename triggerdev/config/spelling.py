"""Bring a document's keys into the model's spelling: camelCase to snake_case, aliases to names."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from triggerdev.config import model, names
from triggerdev.config.document import Node
from triggerdev.config.source import Source
from triggerdev.errors import Diagnostic

_Tables = type[model.Table]


class Speller:
    """Renames keys in place and gathers keys that are written twice, once in each spelling."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Diagnostic] = []

    def config(self, node: Node) -> None:
        """Spell the top-level table, or the table of one environment, whose keys are the same."""
        self._table(node, model.TriggerConfig, model.ALIASES)

    def _table(self, node: Node, table: _Tables, aliases: Mapping[str, str] | None = None) -> None:
        if not isinstance(node.value, dict):
            return
        spelled: dict[str, Node] = {}
        for written, child in node.value.items():
            key = _known_spelling(written, table, aliases or {})
            if key in spelled:
                self._twice(written, key, child, spelled[key])
                continue
            spelled[key] = child
            self._value(child, table, key)
        node.value = spelled

    def _value(self, node: Node, table: _Tables, key: str) -> None:
        field = table.model_fields.get(key)
        if field is not None:
            self._annotated(node, field.annotation)
        elif table is model.Extension:
            self._extension_option(node)

    def _annotated(self, node: Node, annotation: Any) -> None:
        """Descend into tables, maps of tables and lists of tables; other values keep the keys they have."""
        annotation = bare(annotation)
        if isinstance(annotation, type) and issubclass(annotation, model.Table):
            self._table(node, annotation)
        elif get_origin(annotation) in (dict, list):
            item = get_args(annotation)[-1]
            for child in node.children():
                self._annotated(child, item)

    def _extension_option(self, node: Node) -> None:
        """Tables in an option's list have keys of ours; a table alone may be a map of the user's."""
        if isinstance(node.value, list):
            for child in node.children():
                self._table(child, model.Extension)

    def _twice(self, written: str, key: str, node: Node, first: Node) -> None:
        line = self.source.position(first.key).line
        message = f"`{written}` is written twice: line {line} is the same key"
        hint = f"keep one of them; the usual spelling is `{key}`"
        self.problems.append(self.source.diagnostic(node.key, message, hint=hint))


def _known_spelling(written: str, table: _Tables, aliases: Mapping[str, str]) -> str:
    snake = names.snake_case(written)
    snake = aliases.get(snake, snake)
    if snake in table.model_fields:
        return snake
    if table is model.Extension and written[:1].islower() and written.isidentifier():
        return snake
    return written


def bare(annotation: Any) -> Any:
    """Take Annotated and None away from an annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return bare(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return bare(rest[0]) if len(rest) == 1 else annotation
    return annotation
