"""Calls that can be awaited, and their blocking twins, from one definition each.

Every public operation is one `async def`. Called bare it gives a `Call`, which starts at its first await; its
twin under `.sync` runs the same coroutine to the end, because without an event loop no step of it suspends.
"""

import functools
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from triggerdev.errors import ContextError

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
T = TypeVar("T")


class Call(Coroutine[Any, Any, T]):
    """A call that starts at its first await; gather, create_task and TaskGroup take it."""

    __slots__ = ("__weakref__", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    @property
    def coroutine(self) -> Coroutine[Any, Any, T]:
        """What carries the call out."""
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        if isinstance(typ, BaseException):
            return self._coroutine.throw(typ)
        error = val if isinstance(val, BaseException) else typ()
        return self._coroutine.throw(error.with_traceback(tb) if tb else error)

    def close(self) -> None:
        self._coroutine.close()

    def __repr__(self) -> str:
        return f"<Call of {getattr(self._coroutine, '__qualname__', self._coroutine)}>"


class Operation(Generic[P, T]):
    """One public function in its two spellings: bare (awaitable) and `blocking` (under `.sync`)."""

    def __init__(self, name: str, function: Callable[P, Coroutine[Any, Any, T]]) -> None:
        functools.update_wrapper(self, function)
        self._name = name
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        return Call(self._function(*args, **kwargs))

    def blocking(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run to the end in this thread. Raises ContextError where an event loop runs in it."""
        refuse_loop(self._name)
        return drive(self._function(*args, **kwargs))


def operation(name: str) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Operation[P, T]]:
    """Make a public operation called `name` ("runs.poll") of an async function."""

    def wrap(function: Callable[P, Coroutine[Any, Any, T]]) -> Operation[P, T]:
        return Operation(name, function)

    return wrap


def running_loop() -> "asyncio.AbstractEventLoop | None":
    """Give the event loop that runs in this thread, without importing asyncio where there is none."""
    imported = sys.modules.get("asyncio")
    return None if imported is None else imported._get_running_loop()


def refuse_loop(name: str) -> None:
    """Raise ContextError if an event loop runs in this thread; it names the awaitable form of `name`."""
    if running_loop() is not None:
        owner, _, method = name.rpartition(".")
        raise ContextError(
            f"{owner}.sync.{method}() would block the event loop that runs in this thread. "
            f"Use the awaitable form: `await {name}(...)`."
        )


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends and give its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise ContextError("This call needs an event loop; `.sync` calls work only in code that has none.")


def drive_iterator(items: AsyncIterator[T]) -> Iterator[T]:
    """Iterate, blocking, over an async iterator whose steps never suspend."""
    while True:
        try:
            item = drive(_next(items))
        except StopAsyncIteration:
            return
        yield item


async def _next(items: AsyncIterator[T]) -> T:
    return await items.__anext__()
