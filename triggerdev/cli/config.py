"""`trigger config`: check the configuration, show what is in effect, describe it for editors."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triggerdev.cli import options
from triggerdev.cli.output import Output

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig
    from triggerdev.errors import Diagnostic

app = typer.Typer(no_args_is_help=True, help="Check, show and describe the configuration.")

_DEFAULT_ENV = "dev"

Imports = Annotated[
    bool, typer.Option("--imports/--no-imports", help="Import what hooks, callbacks and extensions refer to.")
]
Target = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file, not to stdout.")]


@app.command()
def check(
    config: options.Config = None,
    env: options.Env = None,
    env_file: options.EnvFile = None,
    imports: Imports = True,
    json: options.Json = False,
) -> None:
    """Find all mistakes of the configuration, also references that cannot be imported."""
    from triggerdev.errors import ConfigError

    out = Output(json)
    try:
        loaded = _load(config, env, env_file)
        problems = _unknown_extensions(loaded)
        if imports:
            problems += _unimportable(loaded)
        _raise_all(problems)
    except ConfigError as error:
        out.result({"ok": False, "message": str(error), "errors": list(map(_as_json, error.diagnostics))})
        raise
    out.line(f"{loaded.path}: no mistakes (environment {loaded.env_name})")
    out.result({"ok": True, "path": str(loaded.path), "environment": loaded.env_name, "errors": []})


@app.command()
def show(
    config: options.Config = None,
    env: options.Env = None,
    env_file: options.EnvFile = None,
    json: options.Json = False,
) -> None:
    """Print every effective value and where it came from."""
    from triggerdev._terminal import json_text

    out = Output(json)
    loaded = _load(config, env, env_file)
    values = dict(_leaves(loaded))
    rows = [(key, json_text(value), _origin_text(loaded, key)) for key, value in values.items()]
    out.table(("KEY", "VALUE", "FROM"), rows)
    settings = {
        key: {"value": value, "origin": loaded.origins[key].kind, "where": loaded.origins[key].where}
        for key, value in values.items()
    }
    out.result({"path": str(loaded.path), "environment": loaded.env_name, "settings": settings})


@app.command()
def schema(output: Target = None, json: options.Json = False) -> None:
    """Write the JSON Schema of trigger.config.toml, for editors."""
    from json import dumps

    from triggerdev.config.schema import json_schema

    out = Output(json)
    text = dumps(json_schema(), indent=2)
    if output is None:
        typer.echo(text)
        return
    _write(output, text + "\n")
    out.line(f"wrote {output}")
    out.line("For editors, begin trigger.config.toml with this line:")
    out.line(f"#:schema {output if output.is_absolute() else f'./{output}'}")
    out.result({"path": str(output)})


def _load(config: Path | None, env: str | None, env_file: list[Path] | None) -> "LoadedConfig":
    from triggerdev.config import load_config

    return load_config(config, env_name=env or _DEFAULT_ENV, environ=os.environ, env_files=env_file or ())


def _unknown_extensions(loaded: "LoadedConfig") -> "list[Diagnostic]":
    """Find extensions whose names are neither built in nor installed; references are checked by importing."""
    from importlib.metadata import entry_points

    from triggerdev.build.loading import GROUP
    from triggerdev.config.names import nearest
    from triggerdev.extensions import BUILT_IN

    known = [*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))]
    problems = []
    for name, extension in loaded.config.build.enabled_extensions().items():
        use = extension.use or name
        if ":" in use or use in known:
            continue
        near = nearest(use, known)
        hint = f"did you mean `{near}`?" if near else 'a custom one needs use = "package.module:name"'
        path = ("build", "extensions", name, *(["use"] if extension.use else []))
        message = f"there is no extension `{use}`"
        problems.append(loaded.diagnostic(path, message, help=hint, at_key=extension.use is None))
    return problems


def _unimportable(loaded: "LoadedConfig") -> "list[Diagnostic]":
    from triggerdev.config.references import check_references, subprocess_importer
    from triggerdev.worker.interpreter import find_interpreter

    return check_references(loaded, importer=subprocess_importer(find_interpreter(loaded.root)))


def _raise_all(diagnostics: "list[Diagnostic]") -> None:
    from triggerdev.config import config_error

    if diagnostics:
        raise config_error(diagnostics)


def _as_json(diagnostic: "Diagnostic") -> dict[str, Any]:
    from dataclasses import asdict

    return {key: value for key, value in asdict(diagnostic).items() if key != "source"}


def _leaves(loaded: "LoadedConfig") -> Iterator[tuple[str, Any]]:
    """Yield each effective value under the key that its origin has."""
    from triggerdev.config.loader import leaf_paths
    from triggerdev.config.names import dotted

    values = loaded.config.model_dump(mode="json")
    for path in leaf_paths(values):
        value: Any = values
        for part in path:
            value = value[part]
        yield dotted(path), "(hidden)" if "headers" in path else value


def _origin_text(loaded: "LoadedConfig", key: str) -> str:
    origin = loaded.origins[key]
    return f"{origin.kind}: {origin.where}" if origin.where else origin.kind


def _write(path: Path, text: str) -> None:
    from triggerdev.errors import EnvironmentProblemError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblemError(f"cannot write {path}: {error.strerror or error}") from None
