"""The registry: every task, queue and hook that imported modules have defined."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from triggerdev.errors import TaskDefinitionError

if TYPE_CHECKING:
    from triggerdev.sdk.policy import Queue
    from triggerdev.sdk.task import Task

HOOK_NAMES = (
    "on_start",
    "on_start_attempt",
    "on_success",
    "on_failure",
    "on_complete",
    "on_wait",
    "on_resume",
    "on_cancel",
    "catch_error",
    "middleware",
)


@dataclass
class Registry:
    """Tasks by id, queues by name, global hooks by their names in order of definition.

    `labels`: the names that hooks were registered under, if any; a second one of a name replaces the first.
    """

    tasks: dict[str, "Task[Any]"] = field(default_factory=dict)
    queues: dict[str, "Queue"] = field(default_factory=dict)
    hooks: dict[str, list[Callable[..., Any]]] = field(default_factory=dict)
    labels: dict[str, list[str | None]] = field(default_factory=dict)

    def add(self, task: "Task[Any]") -> None:
        """Register a task. Raises TaskDefinitionError naming both places if another one has its id."""
        known = self.tasks.get(task.id)
        if known is not None and (known.file, known.line) != (task.file, task.line):
            raise TaskDefinitionError(
                f"Task id {task.id!r} is defined twice: "
                f"{known.file}:{known.line} and {task.file}:{task.line}. Give one of them another id."
            )
        self.tasks[task.id] = task

    def add_hook(self, name: str, hook: Callable[..., Any], label: str | None = None) -> None:
        """Register a global hook under one of HOOK_NAMES or "init"; `label` is the user's name for it."""
        hooks, labels = self.hooks.setdefault(name, []), self.labels.setdefault(name, [])
        if label is not None and label in labels:
            hooks[labels.index(label)] = hook
        else:
            hooks.append(hook)
            labels.append(label)


_current = Registry()


def current() -> Registry:
    """Give the registry that definitions go to."""
    return _current


@contextmanager
def use(registry: Registry) -> Iterator[Registry]:
    """Send definitions to another registry inside a with block."""
    global _current
    previous, _current = _current, registry
    try:
        yield registry
    finally:
        _current = previous
