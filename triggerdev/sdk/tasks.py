"""`tasks`: trigger by id, and hooks for every task of the project."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from triggerdev.errors import TaskDefinitionError
from triggerdev.sdk import registry, triggering
from triggerdev.sdk.calls import drive as _drive
from triggerdev.sdk.calls import operation, refuse_loop
from triggerdev.sdk.options import TriggerOptions
from triggerdev.sdk.results import BatchHandle, BatchResult, Result, ResultCall, RunHandle

__all__ = [
    "batch_trigger",
    "batch_trigger_and_wait",
    "catch_error",
    "init",
    "middleware",
    "on_cancel",
    "on_complete",
    "on_failure",
    "on_resume",
    "on_start",
    "on_start_attempt",
    "on_success",
    "on_wait",
    "sync",
    "trigger",
    "trigger_and_wait",
]

HookT = TypeVar("HookT", bound=Callable[..., Any])


def _id(task: Any) -> str:
    return task if isinstance(task, str) else str(task.id)


@operation("tasks.trigger")
async def trigger(task: Any, payload: Any = None, **options: Unpack[TriggerOptions]) -> RunHandle:
    """Start a run of a task, given by id or as a Task, and go on."""
    return await triggering.trigger(_id(task), payload, options)


def trigger_and_wait(task: Any, payload: Any = None, **options: Unpack[TriggerOptions]) -> ResultCall[Any]:
    """Start a run and wait for its end; only inside a run. Gives a Result; `.unwrap()` its output."""
    return ResultCall(triggering.trigger_and_wait(_id(task), payload, options))


@operation("tasks.batch_trigger")
async def batch_trigger(
    task: Any,
    items: Iterable[Mapping[str, Any]],
    *,
    idempotency_key: str | Sequence[str] | None = None,
    idempotency_key_ttl: str | None = None,
) -> BatchHandle:
    """Start a run of one task for each item {"payload": ..., "options": {...}} (at most 1,000) and go on."""
    read = triggering.read_items(items, _id(task))
    return await triggering.batch_trigger(read, idempotency_key, idempotency_key_ttl)


@operation("tasks.batch_trigger_and_wait")
async def batch_trigger_and_wait(
    task: Any,
    items: Iterable[Mapping[str, Any]],
    *,
    idempotency_key: str | Sequence[str] | None = None,
    idempotency_key_ttl: str | None = None,
) -> BatchResult[Any]:
    """Start a run for each item and wait until all have ended; results are in item order."""
    read = triggering.read_items(items, _id(task))
    return await triggering.batch_trigger_and_wait(read, idempotency_key, idempotency_key_ttl)


def _trigger_and_wait_blocking(
    task: Any, payload: Any = None, **options: Unpack[TriggerOptions]
) -> Result[Any]:
    """Start a run of a task and wait for its end; only inside a run."""
    refuse_loop("tasks.trigger_and_wait")
    return _drive(triggering.trigger_and_wait(_id(task), payload, options))


class _Sync:
    """The same calls for code without an event loop."""

    trigger = staticmethod(trigger.blocking)
    trigger_and_wait = staticmethod(_trigger_and_wait_blocking)
    batch_trigger = staticmethod(batch_trigger.blocking)
    batch_trigger_and_wait = staticmethod(batch_trigger_and_wait.blocking)


sync = _Sync()


class GlobalHook:
    """Registers a hook for every task: `tasks.on_start(fn)`, with a name before it, or as a decorator."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self.__doc__ = text

    @overload
    def __call__(self, hook: HookT, /) -> HookT: ...
    @overload
    def __call__(self, name: str, hook: HookT, /) -> HookT: ...
    @overload
    def __call__(self, name: str, /) -> Callable[[HookT], HookT]: ...
    def __call__(self, name: Any, hook: Any = None, /) -> Any:
        """Register a hook. A second one of the same name replaces the first. Raises TaskDefinitionError."""
        if callable(name) and hook is None:
            return self._register(None, name)
        if not isinstance(name, str) or not name:
            raise TaskDefinitionError(
                f"tasks.{self._name}(name={name!r:.60}, ...): a hook's name is text; it may be left out."
            )
        if hook is None:
            return lambda function: self._register(name, function)
        return self._register(name, hook)

    def _register(self, label: str | None, hook: Any) -> Any:
        if not callable(hook):
            raise TaskDefinitionError(f"tasks.{self._name}: {hook!r:.60} is no function.")
        registry.current().add_hook(self._name, hook, label)
        return hook


def _global_hook(name: str) -> GlobalHook:
    return GlobalHook(
        name, f"Register a {name} hook for every task; usable as a decorator, with or without a name."
    )


init = GlobalHook(
    "init", "Register a function that is called once in each worker process, before its first run."
)

on_start = _global_hook("on_start")
on_start_attempt = _global_hook("on_start_attempt")
on_success = _global_hook("on_success")
on_failure = _global_hook("on_failure")
on_complete = _global_hook("on_complete")
on_wait = _global_hook("on_wait")
on_resume = _global_hook("on_resume")
on_cancel = _global_hook("on_cancel")
catch_error = _global_hook("catch_error")
middleware = _global_hook("middleware")
