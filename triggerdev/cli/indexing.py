"""The tasks of a project that no server runs: its files are imported once, in a process of their own."""

from typing import TYPE_CHECKING

from triggerdev.protocol import Manifest
from triggerdev.worker.indexing import index_project
from triggerdev.worker.interpreter import check_interpreter, find_interpreter

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig


def index(loaded: "LoadedConfig") -> Manifest:
    """Import the project with its own interpreter and return its manifest.

    Raises BuildError if it cannot be imported; as ProblemsFound it holds the single mistakes.
    """
    from triggerdev.config.for_workers import worker_settings

    interpreter = find_interpreter(loaded.root)
    check_interpreter(interpreter)
    return index_project(interpreter, worker_settings(loaded), env=loaded.environ)
