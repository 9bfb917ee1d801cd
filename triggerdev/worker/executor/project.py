"""What an executor executes: the project's tasks with their hooks, ready to be called."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from triggerdev.protocol import Message, WorkerSettings
from triggerdev.sdk.policy import Queue
from triggerdev.sdk.registry import HOOK_NAMES, Registry
from triggerdev.sdk.task import Task
from triggerdev.worker.executor import payloads
from triggerdev.worker.executor.binding import Bound


class Channel(Protocol):
    """Where an executor's messages go; `send` is thread-safe and buffers."""

    def send(self, message: Message) -> None: ...


class BlockingChannel(Channel, Protocol):
    """A channel of a worker that executes one plain function at a time."""

    def receive(self) -> Message: ...


class Plan:
    """A task, its hooks bound in the order in which they are called, and its payload loader."""

    def __init__(self, task: Task[Any], hooks: dict[str, list[Callable[..., Any]]]) -> None:
        self.task = task
        self.run = Bound(task.function, first="payload")
        self.load = payloads.loader(task)
        self.hooks: dict[str, list[Bound]] = {}
        for name in HOOK_NAMES:
            common, own = hooks.get(name) or [], task.hooks.get(name) or []
            ordered = [*own, *common] if name == "catch_error" else [*common, *own]
            if ordered:
                self.hooks[name] = [Bound(hook) for hook in ordered]


@dataclass
class Project:
    """The loaded tasks and queues, the global hooks by name, the init function, and the worker's settings."""

    tasks: dict[str, Task[Any]]
    hooks: dict[str, list[Callable[..., Any]]]
    settings: WorkerSettings
    queues: dict[str, Queue] = field(default_factory=dict)
    init: Callable[..., Any] | None = None
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False)
    _bound_init: Bound | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        registry: Registry,
        settings: WorkerSettings,
        hooks: dict[str, list[Callable[..., Any]]] | None = None,
        init: Callable[..., Any] | None = None,
    ) -> "Project":
        """Make a project of what imported modules registered; hooks of the config come before theirs."""
        given = hooks or {}
        names = dict.fromkeys([*given, *registry.hooks])
        merged = {name: [*given.get(name, []), *registry.hooks.get(name, [])] for name in names}
        return cls(dict(registry.tasks), merged, settings, dict(registry.queues), init)

    @property
    def root(self) -> str:
        return self.settings.get("root") or ""

    @property
    def bound_init(self) -> Bound | None:
        if self.init is not None and self._bound_init is None:
            self._bound_init = Bound(self.init)
        return self._bound_init

    def plan(self, task_id: str) -> Plan | None:
        """Give a task ready to be executed, None for an unknown one. Raises TaskDefinitionError."""
        plan = self._plans.get(task_id)
        if plan is None and task_id in self.tasks:
            plan = self._plans[task_id] = Plan(self.tasks[task_id], self.hooks)
        return plan

    def check(self) -> Iterator[tuple[Task[Any], Exception]]:
        """Yield the tasks that cannot be called, with the reason."""
        for task_id, task in self.tasks.items():
            try:
                self.plan(task_id)
            except Exception as error:
                yield task, error
