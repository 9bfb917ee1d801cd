"""`logger`: log lines of the current run, with properties; elsewhere they go to Python's logging."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, overload

from triggerdev.errors import PayloadError
from triggerdev.sdk import session
from triggerdev.sdk.calls import Call
from triggerdev.sdk.spans import Span

__all__ = ["Span", "debug", "error", "info", "log", "sync", "trace", "warn"]

T = TypeVar("T")

#: level -> rank; a line is sent if its rank is at most that of the project's log_level
LEVELS = {"none": 0, "error": 1, "warn": 2, "info": 3, "log": 4, "debug": 5}
_PYTHON_LEVELS = {"error": 40, "warn": 30, "info": 20, "log": 20, "debug": 10}


def _emit(level: str, message: str, properties: Mapping[str, Any] | None) -> None:
    if properties is not None and not isinstance(properties, Mapping):
        raise PayloadError(f"logger.{level}: the properties are {properties!r:.60}; use a mapping.")
    data = dict(properties) if properties else None
    running = session.speaker()
    if running is not None:
        running.log(level, str(message), data)
        return
    import logging

    suffix = f" {data}" if data else ""
    logging.getLogger("triggerdev").log(_PYTHON_LEVELS[level], "%s%s", message, suffix)


def debug(message: str, properties: Mapping[str, Any] | None = None) -> None:
    """Log at level debug."""
    _emit("debug", message, properties)


def log(message: str, properties: Mapping[str, Any] | None = None) -> None:
    """Log at level log, between info and debug."""
    _emit("log", message, properties)


def info(message: str, properties: Mapping[str, Any] | None = None) -> None:
    """Log at level info."""
    _emit("info", message, properties)


def warn(message: str, properties: Mapping[str, Any] | None = None) -> None:
    """Log at level warn."""
    _emit("warn", message, properties)


def error(message: str, properties: Mapping[str, Any] | None = None) -> None:
    """Log at level error."""
    _emit("error", message, properties)


class _Trace:
    """A part of the run as a span: `with logger.trace("fetch") as span:`, or with a function."""

    __slots__ = ()

    @overload
    def __call__(self, name: str, attributes: Mapping[str, Any] | None = None, /) -> Span: ...
    @overload
    def __call__(
        self,
        name: str,
        function: Callable[[Span], Awaitable[T]],
        /,
        attributes: Mapping[str, Any] | None = None,
    ) -> Call[T]: ...
    @overload
    def __call__(
        self, name: str, function: Callable[[Span], T], /, attributes: Mapping[str, Any] | None = None
    ) -> Call[T]: ...
    def __call__(self, name: str, given: Any = None, /, attributes: Any = None) -> Any:
        """Measure a part of the run.

        With a function, plain or `async`, it is called with the span, and its result comes back:
        `user = await logger.trace("fetch", fetch)`. An exception that leaves it marks the span as failed.
        """
        if callable(given):
            return Call(_traced(Span(name, attributes), given))
        return Span(name, given if attributes is None else attributes)

    def sync(
        self, name: str, function: Callable[[Span], T], /, attributes: Mapping[str, Any] | None = None
    ) -> T:
        """Call a plain function in a span and give its result, in code without an event loop or with one."""
        span = Span(name, attributes)
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise PayloadError(f"logger.trace.sync({name!r}, {function!r:.60}): give a plain function.")
        with span:
            return function(span)


async def _traced(span: Span, function: Callable[[Span], Any]) -> Any:
    with span:
        value = function(span)
        return await value if inspect.isawaitable(value) else value


trace = _Trace()


class _Sync:
    """The same calls for code without an event loop."""

    trace = staticmethod(trace.sync)
    debug = staticmethod(debug)
    log = staticmethod(log)
    info = staticmethod(info)
    warn = staticmethod(warn)
    error = staticmethod(error)


sync = _Sync()
