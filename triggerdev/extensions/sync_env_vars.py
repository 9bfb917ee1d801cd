"""`sync-env-vars`: variables of the deployed tasks, asked of a function of the project."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from triggerdev import errors
from triggerdev.build import project_imports, tokens
from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer, DeployEnv
from triggerdev.build.options import Options

_OF_THE_MACHINE = frozenset(
    {
        *(
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "SHELL",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "TERM",
            "TMPDIR",
            "LANG",
            "_",
        ),
        *(
            "SSH_AUTH_SOCK",
            "SSLKEYLOGFILE",
            "COLORTERM",
            "TERM_PROGRAM",
            "TERM_PROGRAM_VERSION",
            "GIT_ASKPASS",
        ),
        *("MANPATH", "INFOPATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "GITHUB_TOKEN"),
    }
)
_OURS = "TRIGGER_"
_FIELDS = {"isSecret": "is_secret", "isParentEnv": "is_parent_env"}


@dataclass(frozen=True)
class SyncContext:
    """What the callback is given; `env` holds the variables that are known of the environment."""

    environment: str
    project_ref: str
    env: Mapping[str, str] = field(repr=False)


class SyncEnvVarsOptions(Options):
    """`callback`: "module:function" or "./file.py:function"; `override`: also where there is a value."""

    callback: str
    override: bool = True


class SyncEnvVars(BuildExtension):
    """Call `callback`, sync or async, with a SyncContext.

    It gives a mapping of names to values or a list of {name, value, is_secret?}; with `override` the values
    replace those that the server has. In `trigger dev` the local environment goes before them.
    """

    name = "sync-env-vars"
    Options = SyncEnvVarsOptions
    options: SyncEnvVarsOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Ask for the variables and add them as a layer that has no part in the image."""
        function = project_imports.resolve_reference(self.options.callback, context.working_dir)
        context.logger.debug(f"calling {self.options.callback}")
        found = function(SyncContext(context.environment, context.config.project, context.env))
        if inspect.isawaitable(found):
            found = await found
        plain: dict[str, str] = {}
        secret: dict[str, str] = {}
        for name, value, is_secret in _items(found, self.options.callback):
            reason = _left_out(name, value)
            if reason:
                context.logger.warn(f"{name} is left out: {reason}")
                continue
            (secret if is_secret else plain)[name] = value
        context.logger.debug(
            f"{len(plain) + len(secret)} variables: {', '.join(sorted({**plain, **secret}))}"
        )
        override = self.options.override and context.target == "deploy"
        deploy = DeployEnv(env=plain, secret_env=secret, override=override)
        context.add_layer(BuildLayer(id=self.name, deploy=deploy))


def _items(found: Any, callback: str) -> list[tuple[str, str, bool]]:
    """Read what a callback gave; errors name the place in it and never a value."""
    if found is None:
        return []
    if isinstance(found, Mapping):
        return [_checked(name, value, False, callback) for name, value in found.items()]
    if not isinstance(found, list | tuple):
        raise errors.BuildError(
            f"{callback} must give a mapping or a list of {{name, value}}, not {type(found).__name__}"
        )
    items = []
    for index, item in enumerate(found):
        entry = _mapping(item)
        if "name" not in entry or "value" not in entry:
            raise errors.BuildError(f"{callback}: item {index} needs the keys 'name' and 'value'")
        items.append(_checked(entry["name"], entry["value"], bool(entry.get("is_secret")), callback))
    return items


def _mapping(item: Any) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return {_FIELDS.get(str(key), str(key)): value for key, value in item.items()}
    return {key: getattr(item, key) for key in ("name", "value", "is_secret") if hasattr(item, key)}


def _checked(name: Any, value: Any, is_secret: bool, callback: str) -> tuple[str, str, bool]:
    if not isinstance(name, str) or not tokens.is_variable(name):
        raise errors.BuildError(f"{callback}: {name!r} is no name of an environment variable")
    if not isinstance(value, str) or "\0" in value:
        raise errors.BuildError(f"{callback}: the value of {name} must be text, not {type(value).__name__}")
    return name, value, is_secret


def _left_out(name: str, value: str) -> str | None:
    if name.startswith(_OURS):
        return f"names that start with {_OURS} are set by the platform"
    if name in _OF_THE_MACHINE:
        return "it belongs to this machine"
    return None if value else "its value is empty"
