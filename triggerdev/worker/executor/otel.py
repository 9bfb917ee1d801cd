"""OpenTelemetry in a process that executes runs: its provider, and its spans as those of the runs.

What `logger.trace`, steps, waits and triggers begin is mirrored by spans of the SDK with the same ids, so
that exporters get them and instrumentations' spans are parts of them. What instrumentations and user code
begin themselves is stored with the run as well.
"""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from triggerdev._version import __version__
from triggerdev.protocol import LogLine, SpanRecord
from triggerdev.sdk import attributes, otel
from triggerdev.sdk import session as sessions
from triggerdev.sdk.otel import Mirror
from triggerdev.sdk.spans import Span
from triggerdev.worker.executor.otel_lines import Lines
from triggerdev.worker.executor.telemetry import Part, Parts, left_out, made

if TYPE_CHECKING:
    from triggerdev.worker.executor.spans import SpanBook

SCOPE = "triggerdev"
_DELAY_MS = 1000


class _GivenIds(IdGenerator):
    """Gives the ids that the thread is told before it begins a span."""

    def __init__(self) -> None:
        self.next = threading.local()

    def generate_span_id(self) -> int:
        span_id: int = self.next.span_id
        return span_id

    def generate_trace_id(self) -> int:
        trace_id: int = self.next.trace_id
        return trace_id


class Tracing:
    """The provider of this process, with a processor that knows the runs."""

    def __init__(self, provider: TracerProvider, parts: Parts, tell: Callable[[str], None]) -> None:
        self._provider = provider
        self._ids = _GivenIds()
        exporters = (made(part, tell) for part in parts.exporters)
        delay = None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else _DELAY_MS
        inner = [
            BatchSpanProcessor(exporter, schedule_delay_millis=delay)
            for exporter in exporters
            if exporter is not None
        ]
        provider.add_span_processor(_OfRuns(inner))
        tracer = provider.get_tracer(SCOPE, __version__)
        assert isinstance(tracer, Tracer)
        tracer.id_generator = self._ids  # of this tracer alone
        self._tracer = tracer
        self._lines = Lines.start(parts, provider.resource, tell) if parts.log_exporters else None
        for part in parts.instrumentations:
            _instrument(part, provider, tell)

    @classmethod
    def start(cls, parts: Parts, tell: Callable[[str], None]) -> "Tracing":
        """Use the program's provider if it has set one, or set one."""
        provider = trace.get_tracer_provider()
        if not isinstance(provider, TracerProvider):
            limits = SpanLimits(max_attributes=attributes.MAX_ATTRIBUTES)
            provider = TracerProvider(resource=_resource(parts), span_limits=limits)
            trace.set_tracer_provider(provider)
        return cls(provider, parts, tell)

    @classmethod
    def join(cls) -> "Tracing | None":
        """Use the program's provider, None if it has set none."""
        provider = trace.get_tracer_provider()
        return cls(provider, Parts(), lambda _: None) if isinstance(provider, TracerProvider) else None

    def is_current(self) -> bool:
        """Say whether the program still has this provider."""
        return trace.get_tracer_provider() is self._provider

    def line(self, line: LogLine, book: "SpanBook") -> None:
        """Export a line of a run."""
        if self._lines is not None:
            parent = _parent(book.trace_id, line.get("span") or book.attempt_id, book.is_sampled, None, False)
            self._lines.emit(line, parent)

    # -- spans

    def begin_attempt(self, book: "SpanBook", name: str, start_ns: int) -> Mirror:
        """Begin the span of an attempt, a part of the span that triggered the run."""
        caller = book.caller
        parent = Context()
        if caller is not None:
            parent = _parent(book.trace_id, caller.span_id, caller.is_sampled, caller.tracestate, True)
        return self._begin(book.trace_id, book.attempt_id, name, parent, start_ns, SpanKind.CONSUMER)

    def begin(self, book: "SpanBook", span: Span) -> Mirror:
        """Begin the mirror of a span."""
        parent = otel_context.get_current()
        if _id_of(trace.get_current_span(parent), book.trace_id) != span.parent:  # a thread, a hook
            parent = _parent(book.trace_id, span.parent, book.is_sampled, None, False)
        kind = SpanKind.PRODUCER if "task" in span.attributes and span.kind != "user" else SpanKind.INTERNAL
        mirror = self._begin(book.trace_id, span.id, span.name, parent, span.start, kind)
        for name, value in span.attributes.items():
            mirror.set_attribute(name, value)
        return mirror

    def _begin(
        self, trace_id: str, span_id: str, name: str, parent: Context, start_ns: int, kind: SpanKind
    ) -> Mirror:
        self._ids.next.trace_id, self._ids.next.span_id = int(trace_id, 16), int(span_id, 16)
        return Mirror(self._tracer.start_span(name, parent, kind, start_time=start_ns))

    @staticmethod
    def current_id(trace_id: str) -> str | None:
        """Give the id of the current span if it is one of this trace."""
        return _id_of(trace.get_current_span(), trace_id)


def _id_of(span: trace.Span, trace_id: str) -> str | None:
    found = span.get_span_context()
    is_ours = found.is_valid and found.trace_id == int(trace_id, 16)
    return f"{found.span_id:016x}" if is_ours else None


def _parent(trace_id: str, span_id: str, is_sampled: bool, state: str | None, is_remote: bool) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    states = TraceState.from_header([state]) if state else TraceState()
    found = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, flags, states)
    return trace.set_span_in_context(NonRecordingSpan(found), Context())


def _resource(parts: Parts) -> Resource:
    resource = Resource.create(dict(parts.resource))
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SCOPE}))
    return resource


def _instrument(part: Part, provider: TracerProvider, tell: Callable[[str], None]) -> None:
    try:
        part.make().instrument(**{"tracer_provider": provider, **part.options})
    except Exception as error:
        tell(left_out(part, error))


class _OfRuns(SpanProcessor):
    """Stores spans with the runs that they belong to, and passes on to exporters what is no repetition."""

    def __init__(self, inner: list[BatchSpanProcessor]) -> None:
        self._inner = inner
        self._books: dict[int, Any] = {}
        self._repeated: set[int] = set()

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Note whose span it is."""
        for processor in self._inner:
            processor.on_start(span, parent_context)
        running = sessions.speaker()
        book = getattr(running, "spans", None)
        if book is None or _is_ours(span):
            return
        if book.is_repetition():
            self._repeated.add(span.context.span_id)
        elif book.count():
            self._books[span.context.span_id] = book

    def on_end(self, span: ReadableSpan) -> None:
        """Store it and export it, unless a replay has made it again."""
        span_id = span.context.span_id
        if span_id in self._repeated:
            self._repeated.discard(span_id)
            return
        for processor in self._inner:
            processor.on_end(span)
        book = self._books.pop(span_id, None)
        if book is not None:
            book.tell(_record(span, book))

    def shutdown(self) -> None:
        """Export what is left."""
        for processor in self._inner:
            processor.shutdown()  # type: ignore[no-untyped-call]  # it has no annotation

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what has gathered."""
        done = [processor.force_flush(timeout_millis) for processor in self._inner]
        return all(done)


def _is_ours(span: SdkSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == SCOPE


def _record(span: ReadableSpan, book: "SpanBook") -> SpanRecord:
    name, values, events = otel.read(span)
    parent = span.parent
    is_inside = parent is not None and parent.trace_id == int(book.trace_id, 16)
    record: SpanRecord = {
        "id": f"{span.context.span_id:016x}",
        "parent": f"{parent.span_id:016x}" if parent is not None and is_inside else book.attempt_id,
        "name": name or "span",
        "kind": "auto",
        "start": span.start_time or 0,
        "end": span.end_time or span.start_time or 0,
    }
    if not span.status.is_ok:
        record["error"] = attributes.text(span.status.description or "failed")
    if values:
        record["attributes"] = values
    if events:
        record["events"] = events
    return record
