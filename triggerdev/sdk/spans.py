"""Spans: timed parts of a run, nested by context. What a run's worker makes of them is its own affair."""

import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from triggerdev.errors import PayloadError
from triggerdev.sdk import attributes, session
from triggerdev.sdk.session import RunSession

MAX_NAME = 256
MAX_EVENTS = 128

_current: ContextVar["Span | None"] = ContextVar("triggerdev_span", default=None)


def current(running: RunSession | None) -> "Span | None":
    """Give the innermost span of a run that this code is in, None in the attempt itself."""
    span = _current.get()
    if span is None or span.session is not running:
        span = session.thread_span()
    return span if span is not None and span.session is running else None


class Span:
    """A part of a run, with a name, attributes, events and, if it failed, an error.

    Used as `with` or `async with`; what is begun inside is a part of it, in asyncio tasks and threads, too.
    """

    __slots__ = (
        *("attributes", "began", "ended", "error", "events", "id", "is_told", "kind", "mirror"),
        *("name", "parent", "session", "start", "_outer", "_previous"),
    )

    def __init__(
        self, name: str, given: Mapping[str, Any] | None = None, kind: str = "user", owner: Any = None
    ) -> None:
        self.name = _checked_name(name)
        self.attributes: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.error: str | None = None
        self.kind = kind
        self.session: RunSession | None = owner
        self.id = self.parent = ""
        self.start = self.began = 0  # ns since the epoch; of a steady clock
        self.ended = self.is_told = False
        self.mirror: Any = None
        self._previous: Span | None = None
        self._outer: Any = None
        if given is not None:
            self.set_attributes(given)

    def set_attribute(self, name: str, value: Any) -> "Span":
        """Set an attribute: a text, number, bool, list of these, or what becomes JSON text.

        At most 1,024 of them, each of 131,072 bytes; longer ones are cut, further ones are dropped. Raises
        PayloadError for a name that is no text.
        """
        attributes.put(
            self.attributes, name, value, f"set_attribute({name!r:.60}, ...) of span {self.name!r}"
        )
        if self.mirror is not None and name in self.attributes:
            self.mirror.set_attribute(name, self.attributes[name])
        return self

    def set_attributes(self, values: Mapping[str, Any]) -> "Span":
        """Set several attributes."""
        if not isinstance(values, Mapping):
            raise PayloadError(
                f"The attributes of span {self.name!r} are {values!r:.60}; use a mapping of names to values."
            )
        for name, value in values.items():
            self.set_attribute(name, value)
        return self

    def add_event(self, name: str, properties: Mapping[str, Any] | None = None) -> "Span":
        """Note that something happened now. A span has at most 128 events, further ones are dropped."""
        where = f"add_event({name!r:.60}, ...) of span {self.name!r}"
        if not isinstance(name, str) or not name:
            raise PayloadError(f"{where}: the name is no text.")
        kept = attributes.cleaned(properties, where)
        if len(self.events) < MAX_EVENTS:
            at = time.time_ns()
            self.events.append({"name": attributes.text(name), "at": at, "attributes": kept})
            if self.mirror is not None:
                self.mirror.add_event(name, kept, at)
        return self

    def record_exception(self, error: BaseException) -> "Span":
        """Note an exception as an event; the span does not fail by that."""
        return self.add_event(
            "exception", {"exception.type": type(error).__name__, "exception.message": str(error)}
        )

    def set_error(self, message: str) -> "Span":
        """Say that this part has failed, though no exception left it."""
        self.error = attributes.text(str(message))
        return self

    def begin(self) -> "Span":
        """Let it begin, for code that ends it by `end`."""
        if self.session is None:
            self.session = session.speaker()
        self.began = time.perf_counter_ns()
        self.start = time.time_ns()
        if self.session is not None:
            self.session.begin_span(self)
        elif "opentelemetry.trace" in sys.modules:
            from triggerdev.sdk import otel

            self.mirror = otel.begin(self.name, self.attributes)
        return self

    def end(self, error: BaseException | None = None) -> None:
        """End it, once; with an exception it has failed."""
        if self.ended:
            return
        self.ended = True
        if isinstance(error, Exception) and self.error is None:
            self.error = attributes.text(describe(error))
        if self.session is not None:
            self.session.end_span(self, error)
        elif self.mirror is not None:
            self.mirror.end(error, self.error)

    @property
    def duration_ms(self) -> float:
        """Milliseconds since it began."""
        return (time.perf_counter_ns() - self.began) / 1_000_000

    def enter(self) -> None:
        """Let code from here on be in it."""
        self._previous = _current.get()
        _current.set(self)
        if self.mirror is not None:
            self._outer = self.mirror.enter()

    def leave(self) -> None:
        """Let code from here on be where it was before."""
        _current.set(self._previous)
        if self.mirror is not None:
            self.mirror.leave(self._outer)

    def __enter__(self) -> "Span":
        self.begin()
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.leave()
        self.end(problem)

    async def __aenter__(self) -> "Span":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, problem, tb)

    def __repr__(self) -> str:
        return f"<Span {self.name!r}>"


def describe(error: BaseException) -> str:
    """Say in a line what an exception is."""
    message = str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise PayloadError(f"{name!r:.60} is no name of a span: use a text of 1 to {MAX_NAME} characters.")
    return attributes.text(name)
