"""OpenTelemetry's side of a span: what `logger.trace` begins where OpenTelemetry is in use is one of its own.

Imported only then; it costs some 40 ms.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from triggerdev.sdk import attributes, spans


class Mirror:
    """A span of OpenTelemetry that follows one of ours."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        self.span = span

    def set_attribute(self, name: str, value: Any) -> None:
        self.span.set_attribute(name, value)

    def add_event(self, name: str, values: Mapping[str, Any], at: int) -> None:
        self.span.add_event(name, values, at)

    def enter(self) -> Context:
        """Make it the current span; gives what was current."""
        previous = context.get_current()
        context.attach(trace.set_span_in_context(self.span, previous))
        return previous

    def leave(self, previous: Context) -> None:
        """Make current again what was; in another context than it was entered in, that is no error."""
        context.attach(previous)

    def end(self, error: BaseException | None, message: str | None, end_ns: int | None = None) -> None:
        """End it; with an error or its message it has failed."""
        if isinstance(error, Exception):
            self.span.record_exception(error)
        if message is not None:
            self.span.set_status(Status(StatusCode.ERROR, message))
        self.span.end(end_ns)

    def flags(self) -> int:
        return int(self.span.get_span_context().trace_flags)

    def read(self) -> tuple[str, dict[str, Any], list[dict[str, Any]]] | None:
        """Give name, attributes and events, with those set through OpenTelemetry; None if it records none."""
        return read(self.span) if self.span.is_recording() else None


def read(span: Any) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Give name, attributes and events of a span of OpenTelemetry's SDK, within our limits."""
    events = [
        {"name": attributes.text(each.name), "at": each.timestamp, "attributes": _plain(each.attributes)}
        for each in span.events[: spans.MAX_EVENTS]
    ]
    return attributes.text(span.name), _plain(span.attributes), events


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return attributes.lenient(values or {})


def begin(name: str, values: Mapping[str, Any]) -> Mirror:
    """Begin a span outside of runs, with whatever provider the program has."""
    return Mirror(trace.get_tracer("triggerdev").start_span(name, attributes=dict(values)))
