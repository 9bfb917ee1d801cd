"""The manifest's part that comes from the tasks themselves."""

import os
from typing import Any

from triggerdev.protocol import QueueInfo, TaskInfo
from triggerdev.sdk.task import Task
from triggerdev.worker.executor import payloads
from triggerdev.worker.executor.project import Project


def describe_tasks(project: Project) -> tuple[list[TaskInfo], list[QueueInfo]]:
    """Describe tasks (by id) and queues (by name) of a project, with the config's defaults filled in.

    Raises TaskDefinitionError for a task or hook whose parameters cannot be filled.
    """
    tasks = [_describe(project, project.tasks[name]) for name in sorted(project.tasks)]
    queues = {queue.name: queue.info() for queue in project.queues.values()}
    for task in tasks:
        queue = task.get("queue")
        if queue is None:
            continue
        known = queues.get(queue["name"])
        if known is None or (known.get("concurrency_limit") is None and queue.get("concurrency_limit")):
            queues[queue["name"]] = queue
    return tasks, [queues[name] for name in sorted(queues)]


def _describe(project: Project, task: Task[Any]) -> TaskInfo:
    project.plan(task.id)  # a function that cannot be called is reported here, not at its first run
    settings = project.settings
    return {
        "id": task.id,
        "file": relative_file(project.root, task.file),
        "line": task.line,
        "export": task.export,
        "kind": task.kind,
        "description": task.description,
        "queue": task.queue,
        "retry": task.retry.info() if task.retry else settings.get("retry"),
        "machine": task.machine or settings.get("default_machine"),
        "max_duration": task.max_duration if task.max_duration is not None else settings.get("max_duration"),
        "ttl_ms": task.ttl_ms if task.ttl_ms is not None else settings.get("ttl_ms"),
        "scheduled": task.is_scheduled,
        "schedule": task.schedule,
        "payload_schema": payloads.schema_of(task),
    }


def relative_file(root: str, file: str) -> str:
    """Give a path relative to the project root where it is below it, with forward slashes."""
    real, base = os.path.realpath(file), os.path.realpath(root) if root else ""
    if base and real.startswith(base + os.sep):
        return os.path.relpath(real, base).replace(os.sep, "/")
    return file
