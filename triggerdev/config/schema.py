"""The JSON Schema of `trigger.config.toml`, for editors."""

from __future__ import annotations

import copy
import re
from typing import Any

SCHEMA_ID = "http://json-schema.org/draft-07/schema#"

_WORD_START = re.compile(r"_([a-z0-9])")


def json_schema() -> dict[str, Any]:
    """Return the schema of the whole file: keys in both spellings, `[env.<name>]` with the same keys.

    It is draft 7 with `definitions`, which is what TOML editors understand.
    """
    from triggerdev._docstrings import describe
    from triggerdev.config import model

    schema = model.TriggerConfig.model_json_schema(ref_template="#/definitions/{model}")
    describe(schema, {name: each for name, each in vars(model).items() if isinstance(each, type)})
    definitions: dict[str, Any] = schema.pop("$defs")
    definitions["Overrides"] = _overrides(schema)
    for table in (schema, *definitions.values()):
        _accept_second_spellings(table)
    for second, first in model.ALIASES.items():
        for table in (schema, definitions["Overrides"]):
            for name in {second, camel_case(second)}:
                table["properties"].setdefault(name, copy.deepcopy(table["properties"][first]))
    schema["properties"]["env"] = {
        "type": "object",
        "description": "What is different in an environment: tables merge, everything else replaces.",
        "additionalProperties": {"$ref": "#/definitions/Overrides"},
    }
    _allow_shorthands(definitions)
    whole = {"$schema": SCHEMA_ID, **schema, "title": "trigger.config.toml", "definitions": definitions}
    filled: dict[str, Any] = _allow_variables(whole)
    return filled


def camel_case(name: str) -> str:
    """Convert snake_case to camelCase."""
    return _WORD_START.sub(lambda match: match[1].upper(), name)


def _overrides(schema: dict[str, Any]) -> dict[str, Any]:
    table = copy.deepcopy(schema)
    table.pop("required", None)
    return {**table, "title": "Overrides", "description": "The keys of the top level; none is required."}


def _accept_second_spellings(table: dict[str, Any]) -> None:
    properties = table.get("properties", {})
    for name in list(properties):
        spelled = camel_case(name)
        if spelled != name:
            properties[spelled] = copy.deepcopy(properties[name])


def _allow_shorthands(definitions: dict[str, Any]) -> None:
    """Say what may stand for a table: a reference for a plugin, true or false for an extension."""
    for name, short in (("Plugin", "string"), ("Extension", "boolean"), ("KeepAlive", "boolean")):
        table = definitions.pop(name)
        definitions[f"{name}Table"] = table
        definitions[name] = {"anyOf": [{"type": short}, {"$ref": f"#/definitions/{name}Table"}]}


def _allow_variables(schema: Any) -> Any:
    """Let `${NAME}` stand wherever the text is otherwise restricted."""
    if isinstance(schema, list):
        return [_allow_variables(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {key: _allow_variables(value) for key, value in schema.items()}
    if not isinstance(schema.get("enum", schema.get("pattern")), list | str):
        return inside
    outside = {key: inside.pop(key) for key in ("description", "default", "title") if key in inside}
    return {**outside, "anyOf": [inside, {"type": "string", "pattern": r"\$\{"}]}
