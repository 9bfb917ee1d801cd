"""What commands that run build extensions share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig


def known_variables(loaded: LoadedConfig, env_files: list[Path]) -> dict[str, str]:
    """Give the variables of the env files: without a server, all that is known of the environment."""
    from triggerdev.config import load_env_files

    files = [Path(name) for name in loaded.config.dev.env_file]
    named = load_env_files(loaded.root, [*files, *(file.absolute() for file in env_files)], {})
    return {name: loaded.environ[name] for name in named}


@contextlib.contextmanager
def stdout_as_stderr() -> Iterator[None]:
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
