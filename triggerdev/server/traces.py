"""Spans as the API's JSON: a tree for people, a page for clients that build their own, one with its details.

The span of a run and that of its latest attempt are made of the run itself. What has not ended when its run
is over ended with the run. Durations in trees and pages are nanoseconds, as in the real API.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace

from triggerdev import _traces
from triggerdev.engine.commands.traces import headline
from triggerdev.engine.model import Run, RunTrace, Span, Status
from triggerdev.server import present
from triggerdev.server.present import Json

MAX_DEPTH = 100  # of a tree: deeper spans hang on the one there, since JSON parsers have limits
_NS = 1_000_000


@dataclass(slots=True)
class Shown:
    """A span with what its run says about it."""

    span: Span
    run: Run
    until_ns: int
    is_partial: bool
    is_error: bool
    is_cancelled: bool
    children: list["Shown"] = field(default_factory=list)

    @property
    def duration_ns(self) -> int:
        return max(0, self.until_ns - self.span.started_ns)


def _start(shown: Shown) -> int:
    return shown.span.started_ns


def collect(trace: RunTrace) -> dict[str, list[Shown]]:
    """Gather the spans of each run of a trace by run id, its own first, then its attempts'."""
    by_run: dict[str, list[Span]] = defaultdict(list)
    for span in trace.spans:
        by_run[span.run].append(span)
    now_ns = trace.read_at * _NS
    return {
        run.id: [_shown(span, run, now_ns) for span in _with_own(run, by_run[run.id])] for run in trace.runs
    }


def _with_own(run: Run, stored: list[Span]) -> list[Span]:
    attempts = [span for span in stored if span.kind == "attempt"]
    others = [span for span in stored if span.kind != "attempt"]
    if run.attempt and all(span.attempt != run.attempt for span in attempts):
        attempts.append(_attempt_span(run))
    return [_run_span(run), *sorted(attempts, key=lambda span: span.attempt), *others]


def _run_span(run: Run) -> Span:
    return Span(
        run=run.id,
        id=_traces.run_span(run.id),
        attempt=0,
        parent=run.traceparent[36:52] if run.traceparent else "",
        name=run.task,
        kind="run",
        started_ns=run.created_at * _NS,
        ended_ns=None if run.finished_at is None else run.finished_at * _NS,
        error=_error_of(run),
    )


def _attempt_span(run: Run) -> Span:
    span = _run_span(run)
    return replace(
        span,
        id=_traces.attempt_span(run.id, run.attempt),
        attempt=run.attempt,
        parent=span.id,
        name=f"Attempt {run.attempt}",
        kind="attempt",
        started_ns=(run.attempt_started_at or run.created_at) * _NS,
    )


def _error_of(run: Run) -> str | None:
    is_failed = run.status.is_final and run.status not in (Status.COMPLETED, Status.CANCELED)
    if not is_failed:
        return None
    return headline(run.error) if run.error else f"Run ended as {run.status.public_name}"


def _shown(span: Span, run: Run, now_ns: int) -> Shown:
    is_open = span.ended_ns is None
    is_over = is_open and run.finished_at is not None
    end = span.ended_ns if span.ended_ns is not None else (run.finished_at or 0) * _NS if is_over else now_ns
    is_cancelled = run.status is Status.CANCELED and (is_over or span.kind in ("run", "attempt"))
    is_error = span.error is not None or (is_over and _error_of(run) is not None)
    return Shown(span, run, end, is_open and not is_over, is_error, is_cancelled)


def tree(trace: RunTrace) -> Json:
    """Show a run's spans, and those of its descendants, as a tree below the run's own."""
    runs = collect(trace)
    nest(trace, runs)
    first = trace.runs[0]
    trace_id = _traces.trace_of(first.id, first.traceparent)
    root = _node(runs[first.id][0], 1)
    return {"trace": {"traceId": trace_id, "rootSpan": root, "isTruncated": trace.is_cut}}


def nest(trace: RunTrace, runs: dict[str, list[Shown]]) -> None:
    """Hang spans on their parents, and runs on the spans that triggered them."""
    for spans in runs.values():
        _nest(spans)
    for run in trace.runs[1:]:
        parent = runs.get(run.parent_id or "")
        if parent:
            own = runs[run.id][0]
            caller = next((each for each in parent if each.span.id == own.span.parent), parent[0])
            caller.children.append(own)


def _nest(spans: list[Shown]) -> None:
    """Hang each span of a run on its parent; one whose parent is not there, on its attempt."""
    own, *others = spans
    by_id = {each.span.id: each for each in others}
    attempts = {each.span.attempt: each for each in others if each.span.kind == "attempt"}
    for each in others:
        parent = by_id.get(each.span.parent)
        if parent is None or _is_inside(parent, each, by_id):
            parent = None if each.span.kind == "attempt" else attempts.get(each.span.attempt)
        (parent or own).children.append(each)


def _is_inside(parent: Shown, each: Shown, by_id: dict[str, Shown]) -> bool:
    """Say whether following the parents of a span leads back to it."""
    seen = {each.span.id}
    found: Shown | None = parent
    while found is not None:
        if found.span.id in seen:
            return True
        seen.add(found.span.id)
        found = by_id.get(found.span.parent)
    return False


def _node(root: Shown, depth: int) -> Json:
    """Show a span with those below it, without recursion: the depth of user code has no limit."""
    top = _tree_span(root)
    todo = [(root, top, depth)]
    while todo:
        shown, target, level = todo.pop()
        for child in sorted(shown.children, key=_start):
            json = _tree_span(child)
            target["children"].append(json)
            todo.append((child, json if level < MAX_DEPTH else target, level + 1))
    return top


def _tree_span(shown: Shown) -> Json:
    span, run = shown.span, shown.run
    data: Json = {
        "message": span.name,
        "taskSlug": run.task,
        "startTime": present.iso(span.started_ns // _NS),
        "duration": shown.duration_ns,
        "isError": shown.is_error,
        "isPartial": shown.is_partial,
        "isCancelled": shown.is_cancelled,
        "level": "TRACE",
        "entityType": span.kind,
        "events": events_of(span),
    }
    if span.kind == "run":
        data["queueName"] = run.queue
        if run.version is not None:
            data["workerVersion"] = run.version
        if run.machine is not None:
            data["machinePreset"] = run.machine
    if span.attributes:
        data["properties"] = span.attributes
    shown_span: Json = {"id": span.id, "runId": run.id, "data": data, "children": []}
    if span.parent:
        shown_span["parentId"] = span.parent
    return shown_span


def events_of(span: Span) -> list[Json]:
    """Show the events of a span; what it failed with is one of them."""
    events = [
        {
            "name": event["name"],
            "time": present.iso(event["at"] // _NS),
            "properties": _nested(event.get("attributes") or {}),
        }
        for event in span.events or ()
    ]
    if span.error is not None and not any(event["name"] == "exception" for event in events):
        at = present.iso((span.ended_ns or span.started_ns) // _NS)
        name, _, message = span.error.partition(": ")
        exception = {"type": name, "message": message} if message else {"message": span.error}
        events.append({"name": "exception", "time": at, "properties": {"exception": exception}})
    return events


def _nested(values: Json) -> Json:
    """Write an exception's attributes ("exception.type") as the real API shows them."""
    found = {name: value for name, value in values.items() if not name.startswith("exception.")}
    exception = {name[10:]: value for name, value in values.items() if name.startswith("exception.")}
    return {**found, "exception": exception} if exception else found


def detail(trace: RunTrace, span_id: str) -> Json | None:
    """Show one span of the run with its details and the runs that it triggered; None if there is none."""
    spans = collect(trace)[trace.run.id]
    shown = next((each for each in spans if each.span.id == span_id), None)
    if shown is None:
        return None
    span = shown.span
    found: Json = {
        "spanId": span.id,
        "parentId": span.parent or None,
        "runId": span.run,
        "message": span.name,
        "isError": shown.is_error,
        "isPartial": shown.is_partial,
        "isCancelled": shown.is_cancelled,
        "level": "TRACE",
        "startTime": present.iso(span.started_ns // _NS),
        "durationMs": shown.duration_ns / _NS,
        "entityType": span.kind,
    }
    triggered = [run for run in trace.runs if run.traceparent and run.traceparent[36:52] == span_id]
    if span.attributes:
        found["properties"] = span.attributes
    if events := events_of(span):
        found["events"] = events
    if triggered:
        found["triggeredRuns"] = [
            {
                "runId": run.id,
                "taskIdentifier": run.task,
                "status": run.status.public_name,
                "createdAt": present.iso(run.created_at),
            }
            for run in triggered
        ]
    return found


def page(trace: RunTrace, size: int, after: int) -> Json:
    """Show a part of a trace as a flat list, in the order of starts; the cursor is a position in it."""
    everything = [each for spans in collect(trace).values() for each in spans]
    everything.sort(key=_start)
    part = everything[after : after + size]
    pagination: Json = {"truncated": True} if trace.is_cut else {}
    if after + size < len(everything):
        pagination["next"] = str(after + size)
    failures = [
        {"spanId": each.span.id, "attemptNumber": each.span.attempt, "runId": each.run.id}
        for each in part
        if each.span.kind == "attempt" and each.is_error
    ]
    return {"data": [_flat(each) for each in part], "attemptFailures": failures, "pagination": pagination}


def _flat(shown: Shown) -> Json:
    span = shown.span
    found: Json = {
        "id": span.id,
        "runId": span.run,
        "message": span.name,
        "startTime": present.iso(span.started_ns // _NS),
        "duration": shown.duration_ns,
        "isError": shown.is_error,
        "isPartial": shown.is_partial,
        "isCancelled": shown.is_cancelled,
        "level": "TRACE",
    }
    if span.parent:
        found["parentId"] = span.parent
    if span.attempt:
        found["attemptNumber"] = span.attempt
    return found
