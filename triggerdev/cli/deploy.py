"""`trigger deploy`: builds, indexes and records a version; with --dry-run it shows the plan instead."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triggerdev.cli import options
from triggerdev.cli.building import known_variables, stdout_as_stderr
from triggerdev.cli.output import Output

if TYPE_CHECKING:
    from triggerdev.build.context import LogSink
    from triggerdev.build.deploying.pipeline import Result
    from triggerdev.build.tasks import Importing
    from triggerdev.config import LoadedConfig

_DEFAULT_ENV = "prod"
_LEVELS = ("debug", "info", "warn", "error")

Project = Annotated[Path | None, typer.Argument(metavar="[PATH]", help="The project's folder or its config.")]
Env = Annotated[str, typer.Option("--env", metavar="NAME", help="The environment that is deployed to.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; build, send and change nothing.")]
LogLevel = Annotated[
    str, typer.Option("--log-level", metavar="LEVEL", help="What extensions say: debug, info, warn or error.")
]
Builder = Annotated[
    str,
    typer.Option("--builder", metavar="NAME", help="What executes: auto, docker, buildah or oci (nothing)."),
]
OutputTo = Annotated[
    str | None,
    typer.Option("--output", metavar="KIND", help="image, oci-layout[=FOLDER] or tar[=FILE]."),
]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", "-t", metavar="NAME", help="A name for the image, or a tag; repeatable."),
]
Push = Annotated[bool, typer.Option("--push", help="Push the image to its registry.")]
Platform = Annotated[
    str | None, typer.Option("--platform", metavar="OS/ARCH", help="Instead of build.platforms.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Execute and write every layer anew.")]
Shown = Annotated[
    str, typer.Option("--progress", metavar="KIND", help="How progress is shown: auto, plain, tty or json.")
]


def deploy(
    path: Project = None,
    dry_run: DryRun = False,
    env: Env = _DEFAULT_ENV,
    env_file: options.EnvFile = None,
    config: options.Config = None,
    builder: Builder = "auto",
    output: OutputTo = None,
    tag: Tag = None,
    push: Push = False,
    platform: Platform = None,
    no_cache: NoCache = False,
    progress: Shown = "auto",
    log_level: LogLevel = "warn",
    json: options.Json = False,
) -> None:
    """Build an image of this project, index its tasks and record it as a version; or show the plan."""
    from triggerdev import errors

    if path is not None and config is not None:
        raise errors.UsageError("PATH and --config both name the project; give one of them")
    if log_level not in _LEVELS:
        raise errors.UsageError(f"--log-level must be one of {', '.join(_LEVELS)}, not {log_level!r}")
    out = Output(json)
    start, env_files = config or path, env_file or []
    if dry_run:
        with _importing(start) as importing:
            _show_plan(out, _load(start, env, env_files), env, env_files, importing, log_level)
        return
    from triggerdev.build.deploying.options import Options, parse_output

    kind, place = parse_output(output)
    wanted = Options(builder, kind, place, tuple(tag or ()), push, platform, no_cache, os.environ)
    with _importing(start, env) as importing:
        loaded = _load(start, env, env_files)
        result = _deployed(out, loaded, env, env_files, wanted, importing, progress, log_level)
    _show_result(out, loaded, result)


def _importing(start: Path | None, env: str | None = None) -> AbstractContextManager[Importing | None]:
    """Start what imports the tasks, while everything else is loaded.

    A deploy to an environment that has no version yet imports them in its image, as may others.
    """
    from triggerdev.build.deployments import Deployments
    from triggerdev.build.tasks import Importing
    from triggerdev.config import find_config

    root = find_config(start).parent
    if env is not None and Deployments(root, env).current is None:
        return contextlib.nullcontext()
    return Importing(root)


def _deployed(
    out: Output,
    loaded: LoadedConfig,
    env: str,
    env_files: list[Path],
    wanted: Any,
    importing: Importing | None,
    progress: str,
    log_level: str,
) -> Result:
    from triggerdev.build.deploying import pipeline
    from triggerdev.cli import deploy_progress

    with deploy_progress.shown(progress) as sink, stdout_as_stderr():
        return pipeline.deploy(
            loaded,
            env,
            known_variables(loaded, env_files),
            wanted,
            importing=importing,
            sink=sink,
            log=_log(out, log_level),
        )


def _show_result(out: Output, loaded: LoadedConfig, result: Result) -> None:
    from triggerdev.cli.deployments_shown import how_to_run, summary

    for warning in result.warnings:
        out.warn(warning)
    deployment = result.deployment
    out.result({**deployment.as_json(), "built": result.built, "promoted": result.promoted})
    if not result.built:
        state = "which is current now" if result.promoted else "which is current"
        out.line(f"Nothing has changed: this is version {deployment.version}, {state}", "green")
        return
    out.line(f"Version {deployment.version} of {loaded.config.project} ({deployment.environment})", "green")
    out.fields(summary(deployment))
    out.line()
    for line in how_to_run(deployment):
        out.line(line)


def _show_plan(
    out: Output,
    loaded: LoadedConfig,
    env: str,
    env_files: list[Path],
    importing: Importing | None,
    log_level: str,
) -> None:
    from triggerdev.build import explain
    from triggerdev.build.dry_run import make_plan

    _check_references(loaded)
    with stdout_as_stderr():
        variables = known_variables(loaded, env_files)
        made = make_plan(loaded, env, variables, importing=importing, log=_log(out, log_level))
    title = f"Plan for {loaded.config.project} ({env}); a dry run: nothing was built or sent"
    for line in explain.lines(made.document, title):
        out.line(line)
    out.result(made.document)


def _log(out: Output, log_level: str) -> LogSink:
    shown = _LEVELS[_LEVELS.index(log_level) :]

    def log(level: str, extension: str, text: str) -> None:
        # Warnings are part of the plan; they are printed with it.
        if level in shown and (level != "warn" or log_level in ("debug", "info")):
            out.say(f"{level:5}  {extension}: {text}")

    return log


def _load(start: Path | None, env: str, env_files: list[Path]) -> LoadedConfig:
    from triggerdev.config import load_config

    return load_config(start, env_name=env, environ=os.environ, env_files=env_files)


def _check_references(loaded: LoadedConfig) -> None:
    from triggerdev.config import config_error
    from triggerdev.config.references import check_references, subprocess_importer
    from triggerdev.worker.interpreter import check_interpreter, find_interpreter

    interpreter = find_interpreter(loaded.root)
    check_interpreter(interpreter)
    problems = check_references(loaded, importer=subprocess_importer(interpreter), uses=False)
    if problems:
        raise config_error(problems)
