"""The spans of one attempt: ids that a replay gives again, what is told to the engine, what is mirrored.

A span is told as it begins, unless it is over within the same turn, and as it was when it has ended. While a
replay goes over what has happened, nothing is told. One that was open when the run left another process
goes on: it has the same id, and the start that it had there.
"""

import functools
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from triggerdev import _durations, _traces, errors, protocol
from triggerdev.protocol import Message, OpRecord, RunStart, SpanRecord
from triggerdev.sdk import spans
from triggerdev.sdk.spans import Span
from triggerdev.worker.executor import telemetry

if TYPE_CHECKING:
    from triggerdev.sdk.otel import Mirror
    from triggerdev.worker.executor.session import AttemptSession

MAX_SPANS = 10_000
_KINDS = {
    protocol.WAIT: "wait",
    protocol.WAIT_TOKEN: "wait",
    protocol.TRIGGER: "trigger",
    protocol.TRIGGER_AND_WAIT: "wait",
    protocol.BATCH_TRIGGER: "trigger",
    protocol.BATCH_TRIGGER_AND_WAIT: "wait",
    protocol.STEP: "step",
}
TRIGGERS = frozenset(kind for kind in _KINDS if "trigger" in kind)


class SpanBook:
    """What an attempt tells of its spans; `mirror` makes OpenTelemetry's of them where that is in use."""

    def __init__(self, session: "AttemptSession", start: RunStart) -> None:
        self._session = session
        self._run = start["id"]
        self._attempt = start["attempt"]
        self._clock = session.project.clock
        self._open = start.get("open_spans") or {}
        self._news: dict[str, SpanRecord] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._thread = threading.get_ident()
        self._root: Mirror | None = None
        self._outer: Any = None
        self.caller = _traces.parse(start.get("traceparent"), start.get("tracestate"))
        self.mirror = telemetry.mirror()

    @functools.cached_property
    def trace_id(self) -> str:
        return _traces.trace_of(self._run, self.caller.traceparent if self.caller else None)

    @functools.cached_property
    def attempt_id(self) -> str:
        return _traces.attempt_span(self._run, self._attempt)

    @property
    def is_sampled(self) -> bool:
        return self.caller is None or self.caller.is_sampled

    # -- the attempt

    def enter_attempt(self) -> None:
        """Let the code from here on be in OpenTelemetry's span of the attempt."""
        if self.mirror is not None:
            start = self._session.start
            begun_ms = start.get("attempt_started_at")
            begun = begun_ms * 1_000_000 if begun_ms else time.time_ns()
            self._root = self.mirror.begin_attempt(self, start["task"], begun)
            for name, value in _attempt_attributes(start).items():
                self._root.set_attribute(name, value)
            self._outer = self._root.enter()

    def leave_attempt(self) -> None:
        """Leave OpenTelemetry's span of the attempt, in a thread that executes other attempts after it."""
        if self._root is not None:
            self._root.leave(self._outer)

    def end_attempt(self, outcome: Message) -> None:
        """End OpenTelemetry's span of the attempt, unless the run goes on elsewhere."""
        if self._root is not None and outcome["outcome"] != "evicted":
            error = outcome.get("error")
            self._root.end(None, _headline(error) if error else None)

    # -- spans of user code

    def begin(self, span: Span, place: str | None = None) -> None:
        """Give a span its id and its parent, and tell of it. `place`: the id of its operation."""
        if place is None and threading.get_ident() == self._thread:
            place = self._session.node().next_span()
        span.id = _traces.span_in(self._run, self._attempt, place) if place else f"{_random_id():016x}"
        span.parent = self.current_id()
        if self._clock is not None:
            span.start, span.began = self._clock(), 0
        if span.id in self._open:
            span.start, span.began = self._open[span.id], 0
        if self.mirror is not None:
            span.mirror = self.mirror.begin(self, span)
        span.is_told = self.count()
        if span.is_told and span.kind != "trigger" and not self._session.is_silent():
            self.tell(_record(span))

    def end(self, span: Span, error: BaseException | None, end_ns: int | None = None) -> None:
        """Tell how a span was; not if the run leaves this process or only repeats what was told before."""
        if isinstance(self._session.signal, errors.RunEvicted):
            return
        if span.id not in self._open and self._session.is_silent():
            return
        end_ns = self._end(span) if end_ns is None else max(end_ns, span.start)
        mirror = span.mirror
        if mirror is not None:
            seen = mirror.read()
            if seen is not None:
                span.name, span.attributes, span.events = seen
            mirror.end(error, span.error, end_ns)
        if span.is_told:
            self.tell({**_record(span), "end": end_ns})

    def _end(self, span: Span) -> int:
        if span.began:
            return span.start + time.perf_counter_ns() - span.began
        now = time.time_ns() if self._clock is None else self._clock()
        return max(span.start, now)  # it was begun in another process, or by another clock

    def current_id(self) -> str:
        """Give the id of the innermost span that this code is in."""
        return self.line_span() or self.attempt_id

    def line_span(self) -> str | None:
        """Give the span that a line of this code belongs to, None for the attempt itself."""
        if self.mirror is not None:
            found = self.mirror.current_id(self.trace_id)
            if found is not None:
                return None if found == self.attempt_id else found
        span = spans.current(self._session)
        return None if span is None else span.id

    def is_repetition(self) -> bool:
        """Say whether what happens now has happened before, in another process."""
        return self._session.is_silent()

    # -- operations

    def operation(
        self, op_id: str, kind: str, target: str | None, args: dict[str, Any], recorded: OpRecord | None
    ) -> Span | None:
        """Begin the span of an operation; None if it has none, or if a replay has no news of it."""
        if kind not in _KINDS:
            return None
        is_done = recorded is not None and recorded["done"]
        if is_done and _traces.span_in(self._run, self._attempt, op_id) not in self._open:
            return None
        span = Span(_name(kind, target, args), _attributes(kind, target, args), _KINDS[kind], self._session)
        span.began, span.start = time.perf_counter_ns(), time.time_ns()
        self.begin(span, op_id)
        return span

    def finish(self, span: Span, result: Any, recorded: OpRecord | None) -> None:
        """End the span of an operation that has a result, with what that says."""
        if isinstance(result, dict) and span.kind != "step":
            _take_result(span, result)
        at = recorded.get("at") if recorded is not None and recorded["done"] else None
        self.end(span, None, None if at is None else at * 1_000_000)

    def as_caller(self, span: Span) -> str:
        """Write the traceparent of the runs that a span triggers."""
        mirror: Mirror | None = span.mirror
        flags = int(self.is_sampled) if mirror is None else mirror.flags()
        return _traces.write(self.trace_id, span.id, flags)

    def here(self) -> str:
        """Write the traceparent of what the code of this moment calls."""
        return _traces.write(self.trace_id, self.current_id(), int(self.is_sampled))

    # -- telling

    def count(self) -> bool:
        """Count one more span; false if it is one too many to be stored."""
        with self._lock:
            self._count += 1
        if self._count == MAX_SPANS + 1:
            self._session.log(
                "warn", f"This attempt has more than {MAX_SPANS:,} spans; further ones are not stored.", None
            )
        return self._count <= MAX_SPANS

    def tell(self, record: SpanRecord) -> None:
        """Have a span sent with what else is said in this turn; from any thread."""
        with self._lock:
            self._news[record["id"]] = record
        self._session.has_news(is_end="end" in record)

    def take(self) -> Message | None:
        """Give the message that tells what is new."""
        if not self._news:
            return None
        with self._lock:
            news, self._news = self._news, {}
        session = self._session
        return {"t": "spans", "run": session.id, "token": session.token, "spans": list(news.values())}


def _random_id() -> int:
    return random.getrandbits(64) or 1


def _record(span: Span) -> SpanRecord:
    record: SpanRecord = {
        "id": span.id,
        "parent": span.parent,
        "name": span.name,
        "kind": span.kind,
        "start": span.start,
    }
    if span.error is not None:
        record["error"] = span.error
    if span.attributes:
        record["attributes"] = span.attributes
    if span.events:
        record["events"] = span.events
    return record


def _name(kind: str, target: str | None, args: dict[str, Any]) -> str:
    if kind == protocol.WAIT:
        length = args.get("for_ms")
        return "wait until a time" if length is None else f"wait for {_durations.short(length)}"
    if kind == protocol.STEP:
        return target or "step"
    if kind == protocol.WAIT_TOKEN:
        return _cut(f"wait for token {target}")
    if "items" in args:
        return f"{kind} of {len(args['items'])} runs"
    return _cut(f"{kind} {target}")


def _cut(name: str) -> str:
    return name[: spans.MAX_NAME]


def _attributes(kind: str, target: str | None, args: dict[str, Any]) -> dict[str, Any]:
    if kind == protocol.WAIT:
        until = args.get("until")
        return {} if until is None else {"wait.until": _durations.iso(until)}
    if kind == protocol.WAIT_TOKEN:
        return {"token": target}
    return {} if kind == protocol.STEP else {"task": target}


def _take_result(span: Span, result: dict[str, Any]) -> None:
    if result.get("id"):
        span.set_attribute("batch" if "runs" in result else "run", result["id"])
    if result.get("is_cached"):
        span.set_attribute("is_cached", True)
    if result.get("ok") is False:
        span.set_error(_headline(result.get("error")))


def _headline(error: Any) -> str:
    found = error if isinstance(error, dict) else {}
    name = found.get("name") or found.get("code") or ""
    message = found.get("message") or found.get("raw") or ""
    return f"{name}: {message}" if name and message else str(name or message or "failed")


def _attempt_attributes(start: RunStart) -> dict[str, Any]:
    return {
        "trigger.run.id": start["id"],
        "trigger.task.id": start["task"],
        "trigger.attempt.number": start["attempt"],
        "trigger.version": start.get("version", ""),
        "trigger.queue": start.get("queue", ""),
    }
