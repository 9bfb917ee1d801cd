"""What an executor executes: the project's tasks with their hooks, ready to be called."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from triggerdev.protocol import Message, WorkerSettings
from triggerdev.sdk.policy import Queue
from triggerdev.sdk.registry import HOOK_NAMES, Registry
from triggerdev.sdk.task import Task
from triggerdev.worker.executor import payloads
from triggerdev.worker.executor.binding import Bound
from triggerdev.worker.executor.process_init import ProcessInit


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
                self.hooks[name] = [bind(name, hook) for hook in ordered]


def bind(name: str, hook: Callable[..., Any]) -> Bound:
    """Read a hook's signature. Raises TaskDefinitionError for one that cannot be called as such."""
    bound = Bound(hook)
    if name == "middleware":
        bound.require("next", "a middleware calls it for the run that it is around: `await next()`")
    elif name == "init":
        bound.refuse({"payload", "ctx"}, "tasks.init functions are called once in a process, before any run")
    return bound


@dataclass
class Project:
    """The loaded tasks and queues, the global hooks by name, the config's init, and the worker's settings.

    `clock`: what the times of lines and spans are, in ns since the epoch; None: the machine's.
    """

    tasks: dict[str, Task[Any]]
    hooks: dict[str, list[Callable[..., Any]]]
    settings: WorkerSettings
    queues: dict[str, Queue] = field(default_factory=dict)
    init: Callable[..., Any] | None = None
    clock: Callable[[], int] | None = None
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False)
    _process_init: dict[str, ProcessInit] = field(default_factory=dict, repr=False)

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

    @functools.cached_property
    def attempt_init(self) -> Bound | None:
        """The config's `init` if it takes payload or ctx: such a one is called before each attempt."""
        own = None if self.init is None else Bound(self.init)
        is_of_attempts = own is not None and (own.needs is None or bool(own.needs & {"payload", "ctx"}))
        return own if is_of_attempts else None

    @functools.cached_property
    def process_inits(self) -> list[Bound]:
        """The functions that are called once in each process, the config's first."""
        own = [] if self.init is None or self.attempt_init is not None else [Bound(self.init)]
        return own + [bind("init", each) for each in self.hooks.get("init", ())]

    def process_init(self, kind: str) -> ProcessInit:
        """Give what calls the init functions, once for each kind of runs: they have their own processes."""
        if kind not in self._process_init:
            self._process_init[kind] = ProcessInit(self.process_inits)
        return self._process_init[kind]

    def plan(self, task_id: str) -> Plan | None:
        """Give a task ready to be executed, None for an unknown one. Raises TaskDefinitionError."""
        plan = self._plans.get(task_id)
        if plan is None and task_id in self.tasks:
            plan = self._plans[task_id] = Plan(self.tasks[task_id], self.hooks)
        return plan

    def check(self) -> Iterator[tuple[str, int, Exception]]:
        """Yield what cannot be called, with file, line and the reason; a hook of all tasks once."""
        known = set()
        for file, line, attempt in self._callables():
            try:
                attempt()
            except Exception as error:
                if str(error) not in known:
                    known.add(str(error))
                    yield file, line, error

    def _callables(self) -> Iterator[tuple[str, int, Callable[[], object]]]:
        if self.init is not None:
            yield *_place(self.init), functools.partial(Bound, self.init)
        for name, hooks in self.hooks.items():
            for hook in hooks:
                yield *_place(hook), functools.partial(bind, name, hook)
        for task_id, task in self.tasks.items():
            yield task.file, task.line, functools.partial(self.plan, task_id)


def _place(function: Callable[..., Any]) -> tuple[str, int]:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else ("", 1)
