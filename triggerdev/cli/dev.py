"""`trigger dev`: run a project's tasks here, with hot reload."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from triggerdev.cli import options


def dev(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="The project's folder or its trigger.config.toml.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="The port to listen on; by default 3030 or the next free one."),
    ] = None,
    env_file: options.EnvFile = None,
    plain: options.Plain = False,
    as_json: options.JsonLines = False,
) -> None:
    """Run the project's tasks with hot reload, on a durable engine of its own.

    State is kept in .trigger/ and survives restarts. Backends find the server in .trigger/dev.env.
    Ctrl-C stops; what executes then goes on at the next start.
    """
    from triggerdev.dev.project import DevOptions
    from triggerdev.dev.render import make_output
    from triggerdev.dev.session import DevSession

    output = make_output(as_json, plain)
    session = DevSession(DevOptions(path, host, port, env_file or ()), output)
    asyncio.run(session.run())
