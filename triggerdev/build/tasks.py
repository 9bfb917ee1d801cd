"""What tasks a project has: its modules are imported in a clean process, without secrets and server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from triggerdev import errors
from triggerdev.config.for_workers import worker_settings
from triggerdev.protocol import Manifest, TaskInfo
from triggerdev.worker.indexing import index_project
from triggerdev.worker.interpreter import check_interpreter, find_interpreter

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


def index(loaded: LoadedConfig, environ: Mapping[str, str] | None = None) -> Manifest:
    """Import a project's tasks with its own interpreter and return the manifest.

    Raises BuildError for modules that cannot be imported, with file and line of each, and for no task at all.
    """
    interpreter = find_interpreter(loaded.root)
    check_interpreter(interpreter)
    manifest = index_project(interpreter, worker_settings(loaded), env=_environment(environ or os.environ))
    if not manifest["tasks"]:
        folders = ", ".join(loaded.config.dirs)
        raise errors.BuildError(f"no tasks found in {folders}; put a function with @task into a file there")
    return manifest


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
