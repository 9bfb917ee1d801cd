"""`envvars`: environment variables that the server keeps for tasks, encrypted.

These calls are requests, inside a run as outside: no value of theirs is ever in the record of a run.
"""

import builtins
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from triggerdev.errors import ContextError, PayloadError
from triggerdev.sdk import http, session
from triggerdev.sdk.calls import operation

__all__ = ["EnvVar", "create", "delete", "list", "retrieve", "sync", "update", "upload"]

_DEFAULT_ENVIRONMENT = "dev"


@dataclass(frozen=True)
class EnvVar:
    """An environment variable. `value` is "<redacted>" if it is secret."""

    name: str
    value: str = field(repr=False)
    is_secret: bool = False

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "EnvVar":
        """Read a variable of the HTTP API."""
        return cls(answer["name"], answer.get("value") or "", bool(answer.get("isSecret")))


def _path(project: str | None, environment: str | None, *more: str) -> str:
    running = session.current()
    if running is not None:
        project = project or running.context.project.ref
        environment = environment or running.context.environment.slug
    project = project or os.environ.get("TRIGGER_PROJECT_REF")
    if not project:
        raise ContextError(
            "envvars: no project is named. Set TRIGGER_PROJECT_REF to `project` of trigger.config.toml"
            " (`trigger dev` writes it to .trigger/dev.env), or give project=..."
        )
    parts = ("envvars", environment or _DEFAULT_ENVIRONMENT, *more)
    return f"/api/v1/projects/{quote(project, safe='')}/" + "/".join(quote(part, safe="") for part in parts)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise PayloadError(f"name={name!r:.60}: must be a variable's name.")
    return name


def _value(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PayloadError(f"value: {name} must be text, not {type(value).__name__}.")
    return value


@operation("envvars.list")
async def list(*, project: str | None = None, environment: str | None = None) -> builtins.list[EnvVar]:
    """List the variables of an environment, by name; values of secret ones are not shown.

    `project` and `environment` ("dev"): of the run, or else TRIGGER_PROJECT_REF and "dev".
    """
    answer = await http.request("GET", _path(project, environment))
    return [EnvVar.of(item) for item in answer.body]


@operation("envvars.retrieve")
async def retrieve(name: str, *, project: str | None = None, environment: str | None = None) -> EnvVar:
    """Look at a variable. Raises NotFoundError."""
    return EnvVar.of((await http.request("GET", _path(project, environment, _name(name)))).body)


@operation("envvars.create")
async def create(
    name: str,
    value: str,
    *,
    is_secret: bool = False,
    project: str | None = None,
    environment: str | None = None,
) -> None:
    """Set a variable; one that exists is replaced. Raises UnprocessableEntityError for a wrong name."""
    body = {"name": _name(name), "value": _value(name, value), "isSecret": is_secret}
    await http.request("POST", _path(project, environment), json=body)


@operation("envvars.update")
async def update(
    name: str, value: str, *, project: str | None = None, environment: str | None = None
) -> None:
    """Replace the value of a variable; whether it is secret stays. Raises NotFoundError."""
    body = {"value": _value(_name(name), value)}
    await http.request("PUT", _path(project, environment, name), json=body)


@operation("envvars.delete")
async def delete(name: str, *, project: str | None = None, environment: str | None = None) -> None:
    """Delete a variable. Raises NotFoundError."""
    await http.request("DELETE", _path(project, environment, _name(name)))


@operation("envvars.upload")
async def upload(
    variables: Mapping[str, str],
    *,
    override: bool = False,
    is_secret: bool = False,
    project: str | None = None,
    environment: str | None = None,
) -> None:
    """Set many variables, all of them or none; those that exist stay unless `override`.

    Raises UnprocessableEntityError for a name that is none.
    """
    if not isinstance(variables, Mapping):
        raise PayloadError(f"variables={type(variables).__name__}: use a mapping of names to values.")
    values = {_name(name): _value(name, value) for name, value in variables.items()}
    body = {"variables": values, "override": override, "isSecret": is_secret}
    await http.request("POST", _path(project, environment, "import"), json=body)


class _Sync:
    """The same calls for code without an event loop."""

    list = staticmethod(list.blocking)
    retrieve = staticmethod(retrieve.blocking)
    create = staticmethod(create.blocking)
    update = staticmethod(update.blocking)
    delete = staticmethod(delete.blocking)
    upload = staticmethod(upload.blocking)


sync = _Sync()
