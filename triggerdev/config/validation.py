"""An effective tree into the model; pydantic's errors into diagnostics, one for each cause."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from triggerdev.config import model, names, spelling
from triggerdev.config.document import Node
from triggerdev.config.positions import KeyPath
from triggerdev.config.source import Source
from triggerdev.errors import Diagnostic

_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
}
_PATTERNS = {
    "project": 'expected a project reference such as "my-project": letters, digits, `_`, `.`, `-`',
    "extensions": "expected an extension's name: letters, digits, `_`, `.`, `-`",
    "secrets": "expected a variable's name: letters, digits, `_`",
    "env": "expected a variable's name: letters, digits, `_`",
}


def validate(node: Node, source: Source) -> tuple[model.TriggerConfig | None, list[Found]]:
    """Return the model, or None and everything that is wrong."""
    try:
        return model.TriggerConfig.model_validate(node.plain()), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=True)
    return None, [Found(detail, node, source) for detail in _one_for_each_cause(details)]


def _one_for_each_cause(details: Iterable[ErrorDetails]) -> list[ErrorDetails]:
    chosen: dict[tuple[Any, ...], ErrorDetails] = {}
    for detail in details:
        chosen.setdefault(tuple(detail["loc"]), detail)
    return list(chosen.values())


class Found:
    """One mistake: `node` is where it was made, `diagnostic` what to say about it."""

    def __init__(self, detail: ErrorDetails, root: Node, source: Source) -> None:
        at_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
        self.path: KeyPath = (*(part for part in detail["loc"] if part != "[key]"), *_more(detail, root))
        self.node, depth = root.find(self.path)
        around = depth < len(self.path) and isinstance(self.node.value, dict)
        span = self.node.key if at_key or around else self.node.place
        message, hint = _describe(detail, self.path)
        note = "" if at_key else origin_note(self.node)
        self.diagnostic: Diagnostic = source.diagnostic(span or self.node.place, message + note, hint=hint)


def origin_note(node: Node) -> str:
    """Say where a value came from when it is not simply what the file says at the top level."""
    notes = []
    if node.variables:
        notes.append("the value comes from " + ", ".join(f"${{{name}}}" for name in node.variables))
    if node.env is not None:
        notes.append(f"overridden by [env.{names.dotted((node.env,))}]")
    return f" ({'; '.join(notes)})" if notes else ""


def _more(detail: ErrorDetails, root: Node) -> KeyPath:
    """The part of the path that an error of a whole table names itself: the first key that was written."""
    loc = tuple(detail["loc"])
    at: KeyPath = detail.get("ctx", {}).get("at", ())
    if detail["type"] == "order":
        return next(((key,) for key in at if root.find((*loc, key))[1] == len(loc) + 1), at[:1])
    return at


def _describe(detail: ErrorDetails, path: KeyPath) -> tuple[str, str | None]:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return f"missing required key `{names.dotted(path)}`", _how_to_write(path)
    if kind == "literal_error":
        return _no_such_choice(detail)
    if kind == "string_pattern_mismatch":
        field = next((part for part in reversed(path) if part in _PATTERNS), None)
        return (_PATTERNS[str(field)] if field else "not of the expected form"), None
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {_kind_of(detail['input'])}", None
    return _plain_message(detail), None


def _plain_message(detail: ErrorDetails) -> str:
    limits = detail.get("ctx", {})
    if detail["type"] == "greater_than_equal":
        return f"must be at least {limits['ge']}"
    if detail["type"] == "less_than_equal":
        return f"must be at most {limits['le']}"
    if detail["type"] in ("too_short", "string_too_short"):
        return "must not be empty"
    return detail["msg"]


def _unknown_key(path: KeyPath) -> tuple[str, str | None]:
    key = str(path[-1])
    table = _table_at(path[:-1])
    message = f"unknown key `{key}`" + (f" in [{names.dotted(path[:-1])}]" if len(path) > 1 else "")
    known = [*table.model_fields, *(("env", *model.ALIASES) if len(path) == 1 else ())]
    snake = names.snake_case(key).replace("-", "_")
    if len(path) == 1 and snake in model.ELSEWHERE:
        return message, model.ELSEWHERE[snake]
    if near := names.nearest(key, known):
        return message, f"did you mean `{near}`?"
    return message, f"known keys: {', '.join(sorted(known))}"


def _table_at(path: KeyPath) -> type[model.Table]:
    """Return the model of the table at a path."""
    table: Any = model.TriggerConfig
    for part in path:
        annotation = spelling.bare(table)
        if isinstance(annotation, type) and issubclass(annotation, model.Table):
            table = annotation.model_fields[str(part)].annotation
        else:
            table = spelling.bare(annotation.__args__[-1])
    found: type[model.Table] = spelling.bare(table)
    return found


def _how_to_write(path: KeyPath) -> str | None:
    if path == ("project",):
        return 'add a line at the top: project = "your-project"'
    return f"add: {path[-1]} = ..."


def _no_such_choice(detail: ErrorDetails) -> tuple[str, str | None]:
    expected = str(detail["ctx"]["expected"])
    value = detail["input"]
    message = f"expected {expected}"
    if not isinstance(value, str):
        return f"{message}, got {_kind_of(value)}", None
    near = names.nearest(value, expected.replace("'", "").replace(" or ", ", ").split(", "))
    return message, f'did you mean "{near}"?' if near else None


def _kind_of(value: Any) -> str:
    kinds = ((bool, "a boolean"), (str, "a string"), (int, "a whole number"), (float, "a number"))
    for kind, text in (*kinds, (list, "a list"), (dict, "a table")):
        if isinstance(value, kind):
            return text
    return "a date or time"
