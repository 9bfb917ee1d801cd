"""The docstrings below the fields of a model, for its JSON Schema.

Pydantic can collect them while a class is made, which reads and parses source each time a program starts;
here it is done when a schema is wanted.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any, TypeGuard

import pydantic


def describe(schema: dict[str, Any], models: Mapping[str, type[pydantic.BaseModel]]) -> None:
    """Put the docstrings of fields into the properties of a schema's tables, by the names of models."""
    for name, table in {**schema.get("$defs", {}), schema.get("title", ""): schema}.items():
        for field, text in field_docstrings(models[name]).items() if name in models else ():
            if field in table.get("properties", {}):
                table["properties"][field]["description"] = text


def field_docstrings(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """Give the text below each field of a model, those of the models above it included."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, pydantic.BaseModel) and each is not pydantic.BaseModel:
            found |= _own(each)
    return found


def _own(model: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(text):
            found[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return found


def _is_text(node: ast.stmt) -> TypeGuard[ast.Expr]:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)
