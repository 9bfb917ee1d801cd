"""What a build extension hands over: layers as plain data.

Every model accepts a plain mapping in place of an instance, also nested ones; an unknown field is an error.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from triggerdev import errors
from triggerdev.build import tokens

Placement = Literal["base", "dependencies", "app"]

_MODEL = ConfigDict(extra="forbid", hide_input_in_errors=True)  # an input may be a secret


def _layer_id(text: str) -> str:
    if not tokens.is_layer_id(text):
        raise ValueError(f'{text!r} can only hold letters, digits, "_", "." and "-" (at most 64 characters)')
    return text


def _variable(name: str) -> str:
    if not tokens.is_variable(name):
        raise ValueError(f"{name!r} is no name of an environment variable")
    return name


def _path(text: str) -> str:
    if not text or tokens.has_control(text):
        raise ValueError("a path must not be empty and must not hold control characters")
    return text


def _command(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("a command must not be empty and must not hold a NUL character")
    return text


def _one_line(text: str) -> str:
    if tokens.has_control(text):
        raise ValueError("the value holds a line break or a control character")
    return text


def _package(text: str) -> str:
    if tokens.split_apt(text) is None:
        raise ValueError(f'{text!r} is no package: write "name" or "name=version"')
    return text


def _instruction(text: str) -> str:
    problem = tokens.instruction_problem(text)
    if problem:
        raise ValueError(f"{text!r} cannot be an image instruction: {problem}")
    return text.strip()


def _dependencies(pins: dict[str, str]) -> dict[str, str]:
    for name, version in pins.items():
        if not tokens.is_requirement(requirement(name, version)):
            raise ValueError(f"{name!r} = {version!r} is no dependency: write name = version")
    return pins


def requirement(name: str, version: str) -> str:
    """Write a dependency as a requirement: "1.2" is pinned, ">=1" is kept, "" and "*" mean any version."""
    version = version.strip()
    if version in ("", "*"):
        return name
    return name + (version if version[0] in "<>=!~" else f"=={version}")


def _file_list(value: Any) -> Any:
    """Bring {destination: source} into the list form; a string is the file of that name."""
    if isinstance(value, Mapping):
        return [{"source": source, "destination": destination} for destination, source in value.items()]
    if isinstance(value, list | tuple):
        return [{"source": item} if isinstance(item, str) else item for item in value]
    return value


def _secret_names(value: Any) -> Any:
    """Bring ["NAME"] into the mapping form; the value then comes from the environment of the build."""
    return dict.fromkeys(value) if isinstance(value, list | tuple) else value


EnvName = Annotated[str, AfterValidator(_variable)]
EnvValues = dict[EnvName, str]
Package = Annotated[str, AfterValidator(_package)]
FilePath = Annotated[str, AfterValidator(_path)]


@dataclass(frozen=True, config=_MODEL)
class FileMapping:
    """Files to copy: `source` is a path, folder or glob relative to the config's folder.

    `destination` is absolute in the image or relative to /app; without it a file keeps its relative path.
    A source that matches nothing is an error unless `optional`, one outside the project unless
    `allow_outside`.
    """

    source: FilePath
    destination: FilePath | None = None
    optional: bool = False
    allow_outside: bool = False


@dataclass(frozen=True, config=_MODEL)
class Image:
    """System packages ("name" or "name=version") and raw instructions, one line each, run as root."""

    pkgs: list[Package] = Field(default_factory=list)
    instructions: list[Annotated[str, AfterValidator(_instruction)]] = Field(default_factory=list)


@dataclass(frozen=True, config=_MODEL)
class BuildEnv:
    """Variables of this layer's commands; `secrets` are mounted for them and are stored nowhere."""

    env: dict[EnvName, Annotated[str, AfterValidator(_one_line)]] = Field(default_factory=dict, repr=False)
    secrets: Annotated[dict[EnvName, str | None], BeforeValidator(_secret_names)] = Field(
        default_factory=dict, repr=False
    )


@dataclass(frozen=True, config=_MODEL)
class DeployEnv:
    """Variables of the environment that is deployed to; they are kept by the server, not by the image.

    With `override` they replace values that exist there. `commands` run once in the built image, with network
    and with the variables named in `secrets`, before its version counts.
    """

    env: EnvValues = Field(default_factory=dict, repr=False)
    secret_env: EnvValues = Field(default_factory=dict, repr=False)
    override: bool = False
    commands: list[Annotated[str, AfterValidator(_command)]] = Field(default_factory=list)
    secrets: list[EnvName] = Field(default_factory=list)


@dataclass(frozen=True, config=_MODEL)
class BuildLayer:
    """One layer: files first, then commands (as root, in /app, each in a shell of its own).

    `placement` says where files and commands go: "base" before the Python dependencies, "dependencies" right
    after them, "app" among the project's own files. `conditions` act in Node projects.
    """

    id: Annotated[str, AfterValidator(_layer_id)]
    files: Annotated[list[FileMapping], BeforeValidator(_file_list)] = Field(default_factory=list)
    commands: list[Annotated[str, AfterValidator(_command)]] = Field(default_factory=list)
    image: Image = Field(default_factory=Image)
    build: BuildEnv = Field(default_factory=BuildEnv)
    deploy: DeployEnv = Field(default_factory=DeployEnv)
    dependencies: Annotated[dict[str, str], AfterValidator(_dependencies)] = Field(default_factory=dict)
    conditions: list[str] = Field(default_factory=list)
    placement: Placement = "app"


_ADAPTER = TypeAdapter(BuildLayer)


def as_layer(value: BuildLayer | Mapping[str, Any], *, again: bool = False) -> BuildLayer:
    """Read a layer from an instance or a mapping; `again`: also what an instance holds.

    Raises BuildError that names each wrong field; values are not repeated, since they may be secret.
    """
    if isinstance(value, BuildLayer):
        if not again:
            return value
        value = dataclasses.asdict(value)
    if not isinstance(value, Mapping):
        raise errors.BuildError(f"a layer is a BuildLayer or a mapping, not {type(value).__name__}")
    try:
        return _ADAPTER.validate_python(dict(value))
    except pydantic.ValidationError as error:
        raise errors.BuildError(f"layer {value.get('id')!r}: {field_problems(error)}") from None


def field_problems(error: pydantic.ValidationError) -> str:
    """Write what is wrong with a model's fields, without the values."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {_reason(item['msg'])}" for item in found)


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")
