"""Payloads in and outputs out: parsing, checking by annotation, serialising."""

import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

from triggerdev import _json
from triggerdev.errors import PayloadError
from triggerdev.protocol import MAX_OUTPUT_BYTES
from triggerdev.sdk import schedules, serialise
from triggerdev.sdk.context import Context
from triggerdev.sdk.task import Task

Load = Callable[[str | None, str], Any]
_JSON_TYPES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
_UNCHECKED = (dict, list, Any, object, None, inspect.Parameter.empty)


class InputError(Exception):
    """A payload that the task does not accept: "field: reason; ..."."""


class OutputError(Exception):
    """An output that cannot be stored; names the place."""


def loader(task: Task[Any]) -> Load:
    """Give the function that parses and checks a task's payloads; it imports pydantic when it needs it."""
    annotation = _annotation(task)
    if task.schema is not None:
        return _by_schema(task.schema)
    if annotation is schedules.Payload or (task.is_scheduled and annotation is inspect.Parameter.empty):
        return lambda text, kind: schedules.Payload.of(_parse(text, kind))
    if _is_unchecked(annotation):
        is_object = annotation is dict or typing.get_origin(annotation) is dict
        return _parse_object if is_object else _parse
    return _by_type(annotation)


def _annotation(task: Task[Any]) -> Any:
    try:
        parameters = list(inspect.signature(task.function).parameters.values())
    except (TypeError, ValueError):
        return inspect.Parameter.empty
    named = [parameter for parameter in parameters if parameter.name == "payload"] or parameters[:1]
    if not named or named[0].kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
        return inspect.Parameter.empty
    annotation = named[0].annotation
    try:
        annotation = typing.get_type_hints(task.function, include_extras=True).get(named[0].name, annotation)
    except Exception:  # a name that exists for type checkers only: nothing to check by
        if isinstance(annotation, str):
            return inspect.Parameter.empty
    return inspect.Parameter.empty if annotation is Context else annotation


def _is_unchecked(annotation: Any) -> bool:
    if any(annotation is known for known in _UNCHECKED):
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    return (origin is dict and arguments == (str, Any)) or (origin is list and arguments == (Any,))


def _parse(text: str | None, kind: str) -> Any:
    try:
        return serialise.load(text, kind)
    except PayloadError as error:
        raise InputError(f"payload: {error}") from None


def _parse_object(text: str | None, kind: str) -> Any:
    return {} if text is None else _parse(text, kind)


def _by_type(annotation: Any) -> Load:
    @functools.cache
    def adapter() -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(annotation)

    def load(text: str | None, kind: str) -> Any:
        check = adapter()
        from pydantic import ValidationError

        try:
            if kind == serialise.JSON and text:
                return check.validate_json(text)
            return check.validate_python(_parse(text, kind))
        except ValidationError as error:
            if text is None:
                return _defaults(check)
            raise InputError(_reasons(error)) from None

    return load


def _defaults(check: Any) -> Any:
    """Make the payload of a run that was triggered without one: an object of defaults, if they suffice."""
    from pydantic import ValidationError

    try:
        return check.validate_python({})
    except ValidationError as error:
        raise InputError(_reasons(error)) from None


def _by_schema(schema: Any) -> Load:
    if isinstance(schema, type) or typing.get_origin(schema) is not None:
        return _by_type(schema)
    check = getattr(schema, "validate_python", None) or schema
    if not callable(check):
        return _by_type(schema)

    def load(text: str | None, kind: str) -> Any:
        value = _parse(text, kind)
        try:
            return check(value)
        except Exception as error:
            details = _reasons(error) if callable(getattr(error, "errors", None)) else f"payload: {error}"
            raise InputError(details) from error

    return load


def _reasons(error: Any) -> str:
    parts = []
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"]) or "payload"
        parts.append(f"{place}: {item['msg']}")
    return "; ".join(parts)


def schema_of(task: Task[Any]) -> dict[str, Any] | None:
    """Give the JSON Schema of a task's payload if that costs little.

    That is: builtins, dataclasses of builtins, and models where pydantic is loaded already; else None.
    """
    if task.is_scheduled:
        return None
    wanted = _annotation(task) if task.schema is None else task.schema
    pydantic = sys.modules.get("pydantic")
    is_model = pydantic is not None and isinstance(wanted, type) and issubclass(wanted, pydantic.BaseModel)
    try:
        if pydantic is not None and (is_model or isinstance(task.schema, type)):
            schema: dict[str, Any] = pydantic.TypeAdapter(wanted).json_schema()
            return schema
        return _plain_schema(wanted)
    except Exception:  # a type that JSON Schema cannot express is no mistake
        return None


def _plain_schema(wanted: Any) -> dict[str, Any] | None:
    if not isinstance(wanted, type) or not dataclasses.is_dataclass(wanted):
        return _builtin_schema(wanted) or None
    types, missing = typing.get_type_hints(wanted), dataclasses.MISSING
    fields = [field for field in dataclasses.fields(wanted) if field.init]
    required = [each.name for each in fields if each.default is missing and each.default_factory is missing]
    properties = {field.name: _builtin_schema(types[field.name]) for field in fields}
    return {"type": "object", "properties": properties, "required": required}


def _builtin_schema(wanted: Any) -> dict[str, Any]:
    name = _JSON_TYPES.get(typing.get_origin(wanted) or wanted)
    return {"type": name} if name else {}


def dump_output(value: Any) -> str | None:
    """Write an output as JSON text, None for None. Raises OutputError, also if over 10 MB."""
    if value is None:
        return None
    try:
        text = _json.dumps(value, serialise.to_jsonable)
    except (TypeError, ValueError, RecursionError) as error:
        raise OutputError(serialise.explain(value, error, "output")) from None
    size = len(text) if text.isascii() else len(text.encode())
    if size > MAX_OUTPUT_BYTES:
        raise OutputError(
            f"output: {size:,} bytes as JSON; at most {MAX_OUTPUT_BYTES:,} (10 MB) can be stored."
        )
    return text
