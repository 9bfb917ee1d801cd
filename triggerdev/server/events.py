"""Spans and lines of a run as the real API's events: times are text, in nanoseconds since the epoch."""

from triggerdev import _traces
from triggerdev.engine.model import LogEntry, Run, RunTrace
from triggerdev.server import present
from triggerdev.server.present import Json
from triggerdev.server.traces import Shown, collect, events_of

_NS = 1_000_000
_LEVELS = {"warn": "WARN", "error": "ERROR", "debug": "DEBUG", "info": "INFO"}
_STREAMS = {"stdout": "INFO", "stderr": "LOG"}


def span_events(trace: RunTrace) -> list[Json]:
    """Show the spans of the run alone as events."""
    return [_event(each) for each in collect(trace)[trace.run.id]]


def _event(shown: Shown) -> Json:
    span = shown.span
    found = {
        "spanId": span.id,
        "parentId": span.parent or None,
        "runId": span.run,
        "message": span.name,
        "startTime": str(span.started_ns),
        "duration": shown.duration_ns,
        "isError": shown.is_error,
        "isPartial": shown.is_partial,
        "isCancelled": shown.is_cancelled,
        "level": "TRACE",
        "kind": "INTERNAL",
        "taskSlug": shown.run.task,
        "events": events_of(span),
        "style": {"icon": span.kind},
    }
    return {**found, "attemptNumber": span.attempt} if span.attempt else found


def log_event(entry: LogEntry, run: Run) -> Json:
    """Show a line as an event in the span that it was written in, with our fields for following a run."""
    level = _LEVELS.get(entry.level, "LOG") if entry.stream == "log" else _STREAMS.get(entry.stream, "LOG")
    found: Json = {
        "spanId": _traces.span_in(run.id, entry.attempt, f"line {entry.seq}"),
        "parentId": entry.span or _traces.attempt_span(run.id, entry.attempt),
        "runId": run.id,
        "message": entry.message,
        "startTime": str(entry.at * _NS),
        "duration": 0,
        "isError": level == "ERROR",
        "isPartial": False,
        "isCancelled": False,
        "level": level,
        "kind": "INTERNAL",
        "taskSlug": run.task,
        "attemptNumber": entry.attempt,
        "events": [],
        "style": {"icon": entry.stream},
        "seq": entry.seq,
        "at": present.iso(entry.at),
        "attempt": entry.attempt,
        "stream": entry.stream,
    }
    return found if entry.data is None else {**found, "properties": entry.data}
