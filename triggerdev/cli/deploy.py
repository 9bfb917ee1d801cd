"""`trigger deploy`: in this version the dry run, which shows the plan of the image and builds nothing."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triggerdev.cli import options
from triggerdev.cli.output import Output

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

_DEFAULT_ENV = "prod"
_LEVELS = ("debug", "info", "warn", "error")

Project = Annotated[Path | None, typer.Argument(metavar="[PATH]", help="The project's folder or its config.")]
Env = Annotated[str, typer.Option("--env", metavar="NAME", help="The environment that is deployed to.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; build, send and change nothing.")]
LogLevel = Annotated[
    str, typer.Option("--log-level", metavar="LEVEL", help="What extensions say: debug, info, warn or error.")
]


def deploy(
    path: Project = None,
    dry_run: DryRun = False,
    env: Env = _DEFAULT_ENV,
    env_file: options.EnvFile = None,
    config: options.Config = None,
    log_level: LogLevel = "warn",
    json: options.Json = False,
) -> None:
    """Show what the image of this project would be made of, and write its build folder."""
    from triggerdev import errors
    from triggerdev.build import explain

    if not dry_run:
        raise errors.UsageError(
            "this version can only plan a deployment: `trigger deploy --dry-run` shows the plan"
        )
    if path is not None and config is not None:
        raise errors.UsageError("PATH and --config both name the project; give one of them")
    if log_level not in _LEVELS:
        raise errors.UsageError(f"--log-level must be one of {', '.join(_LEVELS)}, not {log_level!r}")
    out = Output(json)
    project, document = _plan(config or path, env, env_file or [], out, log_level)
    for line in explain.lines(document, f"Plan for {project} ({env}); a dry run: nothing was built or sent"):
        out.line(line)
    out.result(document)


def _plan(
    start: Path | None, env: str, env_files: list[Path], out: Output, log_level: str
) -> tuple[str, dict[str, Any]]:
    """Give the project's name and its plan; what extensions print meanwhile goes to stderr."""
    from triggerdev.build.deploy_plan import make_plan
    from triggerdev.config import load_config

    loaded = load_config(start, env_name=env, environ=os.environ, env_files=env_files)
    _check_references(loaded)
    shown = _LEVELS[_LEVELS.index(log_level) :]

    def log(level: str, extension: str, text: str) -> None:
        # Warnings are part of the plan; they are printed with it.
        if level in shown and (level != "warn" or log_level in ("debug", "info")):
            out.say(f"{level:5}  {extension}: {text}")

    with _stdout_as_stderr():
        made = make_plan(loaded, env, _known_variables(loaded, env_files), log=log)
    return loaded.config.project, made.document


def _check_references(loaded: "LoadedConfig") -> None:
    from triggerdev.config import config_error
    from triggerdev.config.references import check_references, subprocess_importer
    from triggerdev.worker.interpreter import check_interpreter, find_interpreter

    interpreter = find_interpreter(loaded.root)
    check_interpreter(interpreter)
    problems = check_references(loaded, importer=subprocess_importer(interpreter))
    if problems:
        raise config_error(problems)


def _known_variables(loaded: "LoadedConfig", env_files: list[Path]) -> dict[str, str]:
    """Give the variables of the env files: without a server, all that is known of the environment."""
    from triggerdev.config import load_env_files

    files = [Path(name) for name in loaded.config.dev.env_file]
    named = load_env_files(loaded.root, [*files, *(file.absolute() for file in env_files)], {})
    return {name: loaded.environ[name] for name in named}


@contextlib.contextmanager
def _stdout_as_stderr() -> Iterator[None]:
    """Send what this process and its children write to stdout to stderr instead."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
