"""The example file holds every key, its values are the defaults, and its commented lines are right, too."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from triggerdev.config import load_config
from triggerdev.config.model import Extension, Plugin, Table, TriggerConfig
from triggerdev.config.schema import json_schema
from triggerdev.config.spelling import bare

EXAMPLE = Path(__file__).parents[2] / "trigger.config.toml.example"


def uncommented() -> str:
    """The example with all its examples in effect."""
    text = re.sub(r"^#: ?", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    return text.replace("\nexporters = []\n", "\n", 1)


def load(text: str, folder: Path, **options: Any) -> TriggerConfig:
    path = folder / "trigger.config.toml"
    path.write_text(text)
    return load_config(path, environ={}, **options).config


def test_the_values_of_the_example_are_the_defaults(tmp_path: Path) -> None:
    config = load(EXAMPLE.read_text(), tmp_path)
    defaults = TriggerConfig(project="my-project").model_dump()
    defaults["retries"]["default"] = config.retries.model_dump()["default"]
    assert config.model_dump() == defaults


@pytest.mark.parametrize("env_name", ["dev", "prod"])
def test_the_commented_lines_load(tmp_path: Path, env_name: str) -> None:
    config = load(uncommented(), tmp_path, env_name=env_name)
    assert config.deploy.registry == "registry.example.com/acme"
    assert list(config.build.extensions)[:2] == ["apt-get", "ffmpeg"]
    assert config.log_level == ("warn" if env_name == "prod" else "info")


def keys(table: type[Table], prefix: str = "") -> set[str]:
    found = set()
    for name, field in table.model_fields.items():
        annotation = bare(field.annotation)
        if isinstance(annotation, type) and issubclass(annotation, Table):
            found |= keys(annotation, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def written(value: Any, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {prefix.rstrip(".")}
    found = {prefix.rstrip(".")}
    for name, item in value.items():
        found |= written(item, f"{prefix}{name}.")
    return found


def test_every_key_of_the_model_is_in_the_example() -> None:
    assert keys(TriggerConfig) <= written(tomli.loads(uncommented()))
    assert all(re.search(rf"\b{name} = ", EXAMPLE.read_text()) for name in {**Extension.model_fields})
    assert all(re.search(rf"\b{name} = ", EXAMPLE.read_text()) for name in {**Plugin.model_fields})


def camel(value: Any) -> Any:
    """The same document with its keys in camelCase, but for names that are the user's own."""
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_([a-z])", lambda m: m[1].upper(), key): item
        if key in ("options", "env", "resource")  # names of the user
        else camel(item)
        for key, item in value.items()
    }


@pytest.mark.parametrize("spell", [dict, camel])
@pytest.mark.parametrize("text", [EXAMPLE.read_text(), uncommented()])
def test_the_schema_for_editors_accepts_what_the_loader_accepts(spell: Any, text: str) -> None:
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(spell(tomli.loads(text)), schema)


@pytest.mark.parametrize(
    "line", ["log_lvel = 'info'", "max_duration = true", "env.prod.dirs = 3", "ttl = 'x'"]
)
def test_the_schema_for_editors_refuses_what_the_loader_refuses(line: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"project": "x", **tomli.loads(line)}, json_schema())
