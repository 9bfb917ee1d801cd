"""`ctx.step`: a function of a run that is called once, and whose result is recorded."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, overload

from triggerdev.errors import ContextError, PayloadError
from triggerdev.sdk import session
from triggerdev.sdk.calls import Call, drive, running_loop

P = ParamSpec("P")
T = TypeVar("T")
_MAX_NAME = 256


async def _step(name: Any, function: Any, args: Any, kwargs: Any) -> Any:
    running = session.require("ctx.step")
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME:
        raise PayloadError(f"{name!r:.60} is no name of a step: use 1 to {_MAX_NAME} characters.")
    if not callable(function):
        if inspect.iscoroutine(function):
            function.close()
        raise PayloadError(
            f"ctx.step({name!r}, {function!r:.60}): give a function and its arguments, "
            f"such as ctx.step({name!r}, charge, order)."
        )
    return await running.step(name, lambda: function(*args, **kwargs))


class Step:
    """Call a function and record its result: `receipt = await ctx.step("charge", charge, order)`."""

    __slots__ = ()

    @overload
    def __call__(
        self, name: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Call[T]: ...
    @overload
    def __call__(
        self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Call[T]: ...
    def __call__(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Call a function, plain or `async`, and record its result; a replay gives that without calling it.

        What comes back is what JSON makes of the result (at most 3 MB), in the first execution too. An
        exception is not recorded but raised. Raises StepResultError, PayloadError, ContextError.
        """
        return Call(_step(name, function, args, kwargs))

    def sync(self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the same in code without an event loop, with a plain function."""
        if running_loop() is not None:
            raise ContextError(
                "ctx.step.sync() would block the event loop that runs in this thread. "
                "Use the awaitable form: `await ctx.step(...)`."
            )
        if inspect.iscoroutinefunction(function):
            raise ContextError(
                f"ctx.step.sync({name!r}, ...) cannot call an async function, there is no event loop. "
                "Give a plain function, or make the task `async def` and use `await ctx.step(...)`."
            )
        result: T = drive(_step(name, function, args, kwargs))
        return result
