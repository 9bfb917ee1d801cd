"""Tasks: the decorators that define them and the object they make."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, overload

from triggerdev import _durations
from triggerdev.errors import TaskDefinitionError
from triggerdev.protocol import MACHINES, MIN_MAX_DURATION, QueueInfo, ScheduleInfo
from triggerdev.sdk import machines, policy, registry, triggering
from triggerdev.sdk.calls import Call, drive, refuse_loop
from triggerdev.sdk.options import TriggerOptions
from triggerdev.sdk.results import BatchHandle, BatchResult, Result, ResultCall, RunHandle

OutputT = TypeVar("OutputT")
T = TypeVar("T")
Hook = Callable[..., Any]
Hooks = Hook | Iterable[Hook]
_ID = re.compile(r"\S(?:.{0,254}\S)?")


class TaskOptions(TypedDict, total=False):
    """Options of a task.

    `max_duration`: seconds of compute time, or "5m". `ttl`: expire if not started by then; numbers are
    seconds. Hooks are called by parameter name (payload, ctx, error, output, wait, ...); any may be left out.
    """

    description: str
    retry: policy.Retry | Mapping[str, Any]
    queue: str | policy.QueueMapping | policy.Queue
    machine: str | machines.MachineMapping | machines.Machine
    max_duration: float | str | timedelta
    ttl: str | float | timedelta
    on_start: Hooks
    on_start_attempt: Hooks
    on_success: Hooks
    on_failure: Hooks
    on_complete: Hooks
    on_wait: Hooks
    on_resume: Hooks
    on_cancel: Hooks
    catch_error: Hooks
    middleware: Hooks


class Task(Generic[OutputT]):
    """A task: a function with an id that can be triggered. Calling it just calls the function, here."""

    def __init__(
        self,
        function: Callable[..., Any],
        task_id: str | None,
        options: TaskOptions,
        *,
        schema: Any = None,
        schedule: ScheduleInfo | None = None,
        is_scheduled: bool = False,
    ) -> None:
        if not callable(function):
            raise TaskDefinitionError(
                f"@task decorates a function, not {function!r:.80}. Write @task or @task(id=...)."
            )
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.function = function
        self.file: str = code.co_filename if code else "<unknown>"
        self.line: int = code.co_firstlineno if code else 0
        self.export: str = getattr(function, "__qualname__", "task")
        self.id = self._check_id(task_id)
        self.schema = schema
        self.schedule = schedule
        self.is_scheduled = is_scheduled or schedule is not None
        self.kind: Literal["async", "sync"] = "async" if _is_async(function) else "sync"
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "task")
        self.__module__ = getattr(function, "__module__", "")
        self.__wrapped__ = function
        try:
            self._read(options)
        except TaskDefinitionError as error:
            raise TaskDefinitionError(f"{self.file}:{self.line}: task {self.id!r}: {error}") from None
        registry.current().add(self)

    def _check_id(self, task_id: str | None) -> str:
        if task_id is None:
            return kebab(getattr(self.function, "__name__", "task"))
        if not isinstance(task_id, str) or not _ID.fullmatch(task_id):
            raise TaskDefinitionError(
                f"{self.file}:{self.line}: {task_id!r} is no task id: use 1 to 256 characters."
            )
        return task_id

    def _read(self, options: TaskOptions) -> None:
        unknown = options.keys() - TaskOptions.__annotations__.keys()
        if unknown:
            raise TaskDefinitionError(_unknown_option(min(unknown)))
        self.description = options.get("description")
        self.retry = policy.as_retry(options.get("retry"))
        queue = policy.as_queue(options.get("queue"), f"task/{self.id}")
        self.queue: QueueInfo | None = queue.info() if queue else None
        self.machine = machines.preset_name(options.get("machine"))
        self._check_larger_machine()
        self.max_duration = _seconds(options.get("max_duration"), "max_duration")
        if self.max_duration is not None and self.max_duration < MIN_MAX_DURATION:
            raise TaskDefinitionError(
                f"max_duration={options.get('max_duration')!r}: at least {MIN_MAX_DURATION} second."
            )
        ttl = _seconds(options.get("ttl"), "ttl")
        self.ttl_ms = None if ttl is None else round(ttl * 1000)
        given: Mapping[str, Any] = options
        self.hooks = {
            name: _hook_list(name, given.get(name)) for name in registry.HOOK_NAMES if name in options
        }

    def _check_larger_machine(self) -> None:
        larger = self.retry.out_of_memory_machine if self.retry else None
        if larger and self.machine and MACHINES[larger][1] <= MACHINES[self.machine][1]:
            raise TaskDefinitionError(
                f"retry: out_of_memory has the machine {larger!r}, which has no more memory than"
                f" the task's own, {self.machine!r}."
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.id!r} of {self.file}:{self.line}>"

    @property
    def sync(self) -> "SyncTask[OutputT]":
        """The same calls for code without an event loop."""
        return SyncTask(self.id)

    def trigger(self, payload: Any = None, **options: Unpack[TriggerOptions]) -> Call[RunHandle]:
        """Start a run and go on."""
        return Call(triggering.trigger(self.id, payload, options))

    def trigger_and_wait(self, payload: Any = None, **options: Unpack[TriggerOptions]) -> ResultCall[OutputT]:
        """Start a run and wait for its end; only inside a run. Gives a Result; `.unwrap()` its output."""
        return ResultCall(triggering.trigger_and_wait(self.id, payload, options))

    def batch_trigger(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        idempotency_key: str | Sequence[str] | None = None,
        idempotency_key_ttl: str | None = None,
    ) -> Call[BatchHandle]:
        """Start a run for each item {"payload": ..., "options": {...}} (at most 1,000) and go on."""
        return Call(_batch(self.id, items, idempotency_key, idempotency_key_ttl))

    def batch_trigger_and_wait(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        idempotency_key: str | Sequence[str] | None = None,
        idempotency_key_ttl: str | None = None,
    ) -> Call[BatchResult[OutputT]]:
        """Start a run for each item and wait until all have ended; results are in item order."""
        return Call(_batch_and_wait(self.id, items, idempotency_key, idempotency_key_ttl))


class SyncTask(Generic[OutputT]):
    """The blocking calls of a task."""

    def __init__(self, task_id: str) -> None:
        self._id = task_id

    def _run(self, method: str, work: Callable[[], Any]) -> Any:
        refuse_loop(f"{self._id}.{method}")
        return drive(work())

    def trigger(self, payload: Any = None, **options: Unpack[TriggerOptions]) -> RunHandle:
        """Start a run and go on."""
        handle: RunHandle = self._run("trigger", lambda: triggering.trigger(self._id, payload, options))
        return handle

    def trigger_and_wait(self, payload: Any = None, **options: Unpack[TriggerOptions]) -> Result[OutputT]:
        """Start a run and wait for its end; only inside a run."""
        result: Result[OutputT] = self._run(
            "trigger_and_wait", lambda: triggering.trigger_and_wait(self._id, payload, options)
        )
        return result

    def batch_trigger(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        idempotency_key: str | Sequence[str] | None = None,
        idempotency_key_ttl: str | None = None,
    ) -> BatchHandle:
        """Start a run for each item {"payload": ..., "options": {...}} (at most 1,000) and go on."""
        handle: BatchHandle = self._run(
            "batch_trigger", lambda: _batch(self._id, items, idempotency_key, idempotency_key_ttl)
        )
        return handle

    def batch_trigger_and_wait(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        idempotency_key: str | Sequence[str] | None = None,
        idempotency_key_ttl: str | None = None,
    ) -> BatchResult[OutputT]:
        """Start a run for each item and wait until all have ended; results are in item order."""
        result: BatchResult[OutputT] = self._run(
            "batch_trigger_and_wait",
            lambda: _batch_and_wait(self._id, items, idempotency_key, idempotency_key_ttl),
        )
        return result


async def _batch(task: str, items: Iterable[Mapping[str, Any]], key: Any, ttl: Any) -> BatchHandle:
    return await triggering.batch_trigger(triggering.read_items(items, task), key, ttl)


async def _batch_and_wait(
    task: str, items: Iterable[Mapping[str, Any]], key: Any, ttl: Any
) -> BatchResult[Any]:
    return await triggering.batch_trigger_and_wait(triggering.read_items(items, task), key, ttl)


class TaskDecorator:
    """What `@task(...)` decorates with; keeps the function's output type."""

    def __init__(self, make: Callable[[Callable[..., Any]], Task[Any]]) -> None:
        self._make = make

    @overload
    def __call__(self, function: Callable[..., Awaitable[T]]) -> Task[T]: ...
    @overload
    def __call__(self, function: Callable[..., T]) -> Task[T]: ...
    def __call__(self, function: Callable[..., Any]) -> Task[Any]:
        return self._make(function)


@overload
def task(function: Callable[..., Awaitable[T]], /) -> Task[T]: ...
@overload
def task(function: Callable[..., T], /) -> Task[T]: ...
@overload
def task(*, id: str | None = None, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
def task(
    function: Callable[..., Any] | None = None, /, *, id: str | None = None, **options: Unpack[TaskOptions]
) -> Any:
    """Make a task of a function; without `id` it is the function's name with hyphens.

    `async def` tasks share an event loop, plain functions get a process to themselves. Raises
    TaskDefinitionError for options that make no sense, or if another task has the id.
    """
    if function is not None:
        return Task(function, id, options)
    return TaskDecorator(lambda decorated: Task(decorated, id, options))


def schema_task(*, schema: Any, id: str | None = None, **options: Unpack[TaskOptions]) -> TaskDecorator:
    """Make a task whose payload is checked by `schema`: a pydantic model, any annotation, or a callable."""
    if schema is None:
        raise TaskDefinitionError("schema_task(schema=None): give a pydantic model, a type or a callable.")
    return TaskDecorator(lambda decorated: Task(decorated, id, options, schema=schema))


def kebab(name: str) -> str:
    """Make a task id of a function name: `add_numbers` and `addNumbers` are "add-numbers"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return spaced.replace("_", "-").strip("-").lower() or name


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004 - of an object that can be called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _unknown_option(name: str) -> str:
    from difflib import get_close_matches

    known = list(TaskOptions.__annotations__)
    near = get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Options are: {', '.join(known)}."
    return f"unknown option {name!r}. {hint}"


def _seconds(value: float | str | timedelta | None, option: str) -> float | None:
    if value is None:
        return None
    ms = _durations.to_ms(value)
    if ms is None or ms < 0:
        raise TaskDefinitionError(f"{option}={value!r} is no duration: use seconds, or text such as '5m'.")
    return ms / 1000


def _hook_list(name: str, value: Hooks | None) -> list[Hook]:
    hooks = [] if value is None else [value] if callable(value) else list(value)
    for hook in hooks:
        if not callable(hook):
            raise TaskDefinitionError(f"{name}={hook!r:.60} is not callable.")
    return hooks
