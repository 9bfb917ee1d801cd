"""`trigger env import FILE`: variables of a `.env` file."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import options, project
from triggerdev.cli.output import Output


def import_variables(
    file: Annotated[str, typer.Argument(metavar="FILE", help='A .env file; "-" is stdin.')],
    secret: Annotated[bool, typer.Option("--secret", help="Keep all of them as secret ones.")] = False,
    override: Annotated[
        bool, typer.Option("--override", help="Replace those that exist; else they stay as they are.")
    ] = False,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Keep the variables of a .env file for tasks: all of them, or none if one cannot be kept."""
    from triggerdev.cli.api import Api

    values = _values(file)
    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        api.import_variables(project.find_ref(config), values, secret=secret, override=override)
    out.result({"names": sorted(values)})
    for name in sorted(values):
        out.line(name)
    kept = "" if override else "; those that existed stayed as they were (--override replaces them)"
    out.say(f"{len(values)} variables{kept}")


def _values(file: str) -> dict[str, str]:
    from triggerdev.config.envfiles import parse_env_text

    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise errors.UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise errors.UsageError(f"{file} is no UTF-8 text (byte {error.start}).") from None
    values = parse_env_text(text, Path("stdin" if file == "-" else file), os.environ)
    if not values:
        raise errors.UsageError(f"{file} has no variables; a line is NAME=value.")
    return values
