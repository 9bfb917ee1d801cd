"""The table of known tasks: what the current version's manifest says about each."""

import difflib
from collections.abc import Iterator

from triggerdev import errors
from triggerdev.engine import options
from triggerdev.engine.retry import DEFAULT_RETRY
from triggerdev.protocol import Manifest, RetryInfo, TaskInfo


class TaskTable:
    """The tasks of one version; immutable, replaced as a whole when a version is registered."""

    def __init__(self, version: str | None = None, manifest: Manifest | None = None) -> None:
        self.version = version
        self.tasks: dict[str, TaskInfo] = {task["id"]: task for task in manifest["tasks"]} if manifest else {}
        self.sync_ids = [task["id"] for task in self if task.get("kind") == "sync"]
        self.async_ids = [task["id"] for task in self if task.get("kind") != "sync"]
        self.scheduled_ids = [task["id"] for task in self if task.get("scheduled") or task.get("schedule")]

    def __iter__(self) -> Iterator[TaskInfo]:
        return iter(self.tasks.values())

    def find(self, task_id: str) -> TaskInfo:
        """Look up a task. Raises UnknownTaskError with the nearest id."""
        task = self.tasks.get(task_id)
        if task is None:
            near = difflib.get_close_matches(task_id, self.tasks, 1)
            raise errors.UnknownTaskError(task_id, near[0] if near else None)
        return task

    def policy(self, task_id: str) -> RetryInfo:
        """Tell the retry policy of a task; a task that is no longer known has the default one."""
        task = self.tasks.get(task_id)
        return (task.get("retry") if task else None) or DEFAULT_RETRY

    def queue_of(self, task: TaskInfo) -> str:
        """Name the queue that a task's runs go to unless the trigger says otherwise."""
        queue = task.get("queue")
        name = (queue.get("name") if queue else None) or f"task/{task['id']}"
        return options.queue_name(name)
