"""The tasks of a project that no server runs: its files are imported once, in a process of their own."""

from typing import TYPE_CHECKING

from triggerdev.dev import settings
from triggerdev.protocol import Manifest
from triggerdev.worker.indexing import index_project
from triggerdev.worker.interpreter import check_interpreter, find_interpreter

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig


def index(loaded: "LoadedConfig") -> Manifest:
    """Import the project with its own interpreter and return its manifest.

    Raises BuildError if it cannot be imported; as ProblemsFound it holds the single mistakes.
    """
    interpreter = find_interpreter(loaded.root)
    check_interpreter(interpreter)
    wanted = settings.worker_settings(loaded, settings.environment(loaded), url="", key="")
    return index_project(interpreter, wanted, env=loaded.environ)
