"""What tasks a project has: its modules are imported in a clean process, without secrets and server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from triggerdev import errors
from triggerdev.protocol import Manifest, TaskInfo
from triggerdev.worker.indexing import Indexer
from triggerdev.worker.interpreter import check_interpreter, find_interpreter

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


class Importing:
    """Imports the tasks of the project in a folder, beside what else is to be done.

    The process is started at once, since that takes longer than the import, which `begin` asks for.
    """

    def __init__(self, root: Path) -> None:
        self._beside = ThreadPoolExecutor(1)
        self._process = self._beside.submit(_start, root)
        self._manifest: Future[Manifest] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(errors.TriggerError):
            self._process.result().end()
        self._beside.shutdown()
        with contextlib.suppress(errors.TriggerError):
            self._process.result().close()

    def begin(self, loaded: LoadedConfig) -> Future[Manifest]:
        """Let the import begin, unless it has.

        The result raises BuildError for modules that cannot be imported, with file and line of each, and for
        no task at all; EnvironmentProblemError if the project's interpreter does not start.
        """
        if self._manifest is None:
            self._manifest = self._beside.submit(self._import, loaded)
        return self._manifest

    def _import(self, loaded: LoadedConfig) -> Manifest:
        from triggerdev.config.for_workers import worker_settings

        manifest = self._process.result().index(worker_settings(loaded))
        if not manifest["tasks"]:
            folders = ", ".join(loaded.config.dirs)
            raise errors.BuildError(
                f"no tasks found in {folders}; put a function with @task into a file there"
            )
        return manifest


def index(loaded: LoadedConfig) -> Manifest:
    """Import a project's tasks with its own interpreter; raises what the result of `Importing.begin` does."""
    with Importing(loaded.root) as importing:
        return importing.begin(loaded).result()


def _start(root: Path) -> Indexer:
    interpreter = find_interpreter(root)
    check_interpreter(interpreter)
    return Indexer(interpreter, root, _environment(os.environ))


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep what programs need to start; everything else may be a secret."""
    kept = {name: environ[name] for name in _PASSED_ON if name in environ}
    return {**kept, "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}


def describe(task: TaskInfo) -> dict[str, Any]:
    """Describe a task for a plan."""
    queue = task.get("queue") or {}
    schedule = task.get("schedule")
    return {
        "id": task["id"],
        "file": task.get("file", ""),
        "line": task.get("line", 0),
        "kind": task.get("kind", "async"),
        "description": task.get("description"),
        "queue": queue.get("name"),
        "concurrency_limit": queue.get("concurrency_limit"),
        "machine": task.get("machine"),
        "max_duration": task.get("max_duration"),
        "schedule": None
        if schedule is None
        else {
            "cron": schedule["cron"],
            "timezone": schedule["timezone"],
            "environments": schedule.get("environments"),
        },
    }
