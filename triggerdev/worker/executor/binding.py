"""Calling user functions by parameter name: payload, ctx, error, output, ...; any may be left out."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from triggerdev.errors import TaskDefinitionError

_P = inspect.Parameter
KNOWN = frozenset(
    {
        "payload",
        "ctx",
        "error",
        "output",
        "result",
        "wait",
        "task",
        "init",
        "next",
        "attempt",
        "run_id",
        "reason",
    }
)


class Bound:
    """A user function with the values that it takes. `needs` are their names, None if it takes all."""

    __slots__ = ("_keywords", "_positional", "function", "needs")

    def __init__(self, function: Callable[..., Any], first: str | None = None) -> None:
        """Read the signature; a first parameter of another name gets the value `first`."""
        self.function = function
        self._positional: list[str] = []
        self._keywords: list[tuple[str, str]] = []
        takes_all = False
        for index, parameter in enumerate(_parameters(function)):
            if parameter.kind is _P.VAR_KEYWORD:
                takes_all = True
            elif parameter.kind is not _P.VAR_POSITIONAL:
                self._add(parameter, first if index == 0 else None)
        self.needs = (
            None if takes_all else frozenset(self._positional + [value for _, value in self._keywords])
        )

    def _add(self, parameter: _P, fallback: str | None) -> None:
        value = parameter.name if parameter.name in KNOWN else fallback
        if value is None:
            if parameter.default is _P.empty:
                raise TaskDefinitionError(_unknown_parameter(self.function, parameter.name))
            return
        if parameter.kind is _P.POSITIONAL_ONLY:
            self._positional.append(value)
        else:
            self._keywords.append((parameter.name, value))

    def require(self, value: str, why: str) -> None:
        """Raise TaskDefinitionError if the function does not take a value."""
        if self.needs is not None and value not in self.needs:
            raise TaskDefinitionError(f"{_name(self.function)} has no parameter {value!r}: {why}.")

    def refuse(self, values: set[str], why: str) -> None:
        """Raise TaskDefinitionError if the function takes one of these values."""
        wrong = sorted(values & (self.needs or frozenset()))
        if wrong:
            raise TaskDefinitionError(f"{_name(self.function)} has a parameter {wrong[0]!r}, but {why}.")

    def __call__(self, values: Mapping[str, Any]) -> Any:
        if self.needs is None:
            given = dict(values)
            for name, value in self._keywords:
                given[name] = given.pop(value, None)
            return self.function(*[given.pop(name, None) for name in self._positional], **given)
        arguments = {name: values.get(value) for name, value in self._keywords}
        return self.function(*[values.get(name) for name in self._positional], **arguments)


def _parameters(function: Callable[..., Any]) -> list[_P]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        return [_P("payload", _P.POSITIONAL_ONLY)]


def _name(function: Callable[..., Any]) -> str:
    """Say where a function is and how it is called: "/p/trigger/basic.py:12: notify()"."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    place = f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
    return f"{place}{getattr(function, '__qualname__', repr(function))}()"


def _unknown_parameter(function: Callable[..., Any], name: str) -> str:
    return (
        f"{_name(function)} has a parameter {name!r} that nothing is known for; "
        "tasks and hooks are called by parameter name (payload, ctx, error, output, ...). "
        "Rename it or give it a default."
    )
