"""Which tasks an engine of a test knows."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from triggerdev import errors
from triggerdev.protocol import Manifest, TaskInfo, WorkerSettings
from triggerdev.sdk import registry
from triggerdev.sdk.registry import Registry
from triggerdev.sdk.task import Task
from triggerdev.worker.executor.manifest import describe_tasks
from triggerdev.worker.executor.project import Project

Tasks = Task[Any] | ModuleType | Iterable[Task[Any] | ModuleType]


def build(tasks: Tasks | None, settings: WorkerSettings) -> Project:
    """Make a project of tasks and of modules' tasks; None: of all that were defined so far.

    Queues and global hooks are always those that imported modules have defined.
    """
    defined = registry.current()
    chosen = defined.tasks if tasks is None else {task.id: task for task in _each(tasks)}
    known = Registry(dict(chosen), dict(defined.queues), dict(defined.hooks))
    return Project.of(known, settings)


def _each(tasks: Any) -> list[Task[Any]]:
    if isinstance(tasks, Task):
        return [tasks]
    if isinstance(tasks, ModuleType):
        hidden = [task for task in registry.current().tasks.values() if task.__module__ == tasks.__name__]
        return [*(value for value in vars(tasks).values() if isinstance(value, Task)), *hidden]
    if isinstance(tasks, str) or not isinstance(tasks, Iterable):
        raise errors.TaskDefinitionError(
            f"{tasks!r:.60} is no task: give tasks, or modules that define some."
        )
    return [task for item in list(tasks) for task in _each(item)]


def manifest(project: Project, *, schedules: bool, others: Iterable[str] = ()) -> Manifest:
    """Describe a project to the engine, without schedules if they should not fire.

    `others` are ids of further tasks that can be triggered but are not executed.
    """
    tasks, queues = describe_tasks(project)
    unknown = [name for name in dict.fromkeys(others) if name not in project.tasks]
    tasks += [TaskInfo(id=name, file="", line=0, kind="async") for name in unknown]
    if not schedules:
        for task in tasks:
            task["schedule"] = None
    return Manifest(tasks=tasks, queues=queues, files=[], packages=[], threads=[], hash="")


def task_id(task: "str | Task[Any]") -> str:
    """Give the id of a task that is named by itself or by its id."""
    return task if isinstance(task, str) else task.id
