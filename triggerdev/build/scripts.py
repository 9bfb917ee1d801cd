"""The fixed shell scripts of executed layers; what varies reaches them as arguments only."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

UV_VERSION = "0.13.9"


@cache
def script(name: str) -> str:
    """Give the text of one of the scripts, without its comments."""
    folder = resources.files("triggerdev") / "templates" / "containerfile"
    lines = (folder / f"{name}.sh").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def shell(name: str, arguments: Sequence[str] = (), env: Sequence[tuple[str, str]] = ()) -> tuple[str, ...]:
    """Give the words of a command that runs one of the scripts with arguments and variables."""
    variables = ("/usr/bin/env", *(f"{key}={value}" for key, value in env)) if env else ()
    return (*variables, "/bin/sh", "-euc", script(name), "sh", *arguments)
