"""`logger`: log lines of the current run, with properties; elsewhere they go to Python's logging."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from triggerdev.sdk import session

__all__ = ["Span", "debug", "error", "info", "log", "trace", "warn"]

#: level -> rank; a line is sent if its rank is at most that of the project's log_level
LEVELS = {"none": 0, "error": 1, "warn": 2, "info": 3, "log": 4, "debug": 5}
_PYTHON_LEVELS = {"error": 40, "warn": 30, "info": 20, "log": 20, "debug": 10}


def _emit(level: str, message: str, properties: Mapping[str, Any] | None) -> None:
    data = dict(properties) if properties else None
    running = session.current()
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


class Span:
    """A named part of a run; its end is logged with its attributes and how many milliseconds it took."""

    def __init__(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.attributes: dict[str, Any] = dict(attributes or {})
        self._started = 0.0

    def set_attribute(self, name: str, value: Any) -> "Span":
        """Set an attribute of the span."""
        self.attributes[name] = value
        return self

    def __enter__(self) -> "Span":
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, tb: TracebackType | None
    ) -> None:
        data = {**self.attributes, "duration_ms": round((time.perf_counter() - self._started) * 1000, 3)}
        if problem is not None:
            data["error"] = f"{type(problem).__name__}: {problem}"
        _emit("info" if problem is None else "error", self.name, data)

    async def __aenter__(self) -> "Span":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, problem, tb)


def trace(name: str, attributes: Mapping[str, Any] | None = None) -> Span:
    """Measure a part of the run: `with logger.trace("fetch") as span:`, or `async with`."""
    return Span(name, attributes)
