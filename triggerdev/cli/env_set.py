"""`trigger env set NAME`: the value from stdin, a prompt, or `NAME=value`."""

import sys
from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import options, project
from triggerdev.cli.output import Output


def set_variable(
    variable: Annotated[
        str,
        typer.Argument(
            metavar="NAME[=VALUE]",
            help="Without a value it is read from stdin, or asked for: arguments can be seen by others.",
        ),
    ],
    secret: Annotated[
        bool, typer.Option("--secret", help="Never show the value again, to anybody but tasks.")
    ] = False,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Keep an environment variable for tasks, encrypted; one that exists is replaced."""
    from triggerdev.cli.api import Api

    name, given, value = variable.partition("=")
    if not given:
        value = _read(name)
    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        api.set_variable(project.find_ref(config), name, value, secret)
    out.result({"name": name, "isSecret": secret})
    out.say(f"{name} is set.")


def _read(name: str) -> str:
    """Ask at a terminal, without showing what is typed; else read stdin, less the newline at its end."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"value of {name}: ", stream=sys.stderr)
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise errors.UsageError(f"the value of {name} is no UTF-8 text.") from None
    return text.removesuffix("\n").removesuffix("\r")
