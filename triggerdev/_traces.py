"""Ids of traces and spans, in the W3C's form.

They follow from the ids of runs and of what runs do, so that a replay names its spans as the first execution
did, and what is never stored (a run's own span) has the same id wherever somebody speaks of it.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_MAX_TRACESTATE = 512
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The span that something was called in: `traceparent` and `tracestate` as HTTP headers have them."""

    traceparent: str
    tracestate: str | None = None

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        return self.traceparent[36:52]

    @property
    def is_sampled(self) -> bool:
        return bool(int(self.traceparent[53:55], 16) & SAMPLED)


def parse(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """Read the headers of a call; None if there is no such span, or if that is not how they are written."""
    found = _TRACEPARENT.fullmatch(traceparent.strip().lower()) if traceparent else None
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    state = tracestate.strip() if tracestate else ""
    is_kept = 0 < len(state) <= _MAX_TRACESTATE and state.isascii() and state.isprintable()
    return TraceContext(write(found[1], found[2], int(found[3], 16)), state if is_kept else None)


def write(trace_id: str, span_id: str, flags: int = SAMPLED) -> str:
    """Write a traceparent."""
    return f"00-{trace_id}-{span_id}-{flags:02x}"


def trace_of(run_id: str, traceparent: str | None) -> str:
    """Give the id of a run's trace: the one it continues, or one of its own."""
    return traceparent[3:35] if traceparent else blake2b(run_id.encode(), digest_size=16).hexdigest()


def run_span(run_id: str) -> str:
    """Give the id of the span of a whole run."""
    return _id(run_id)


def attempt_span(run_id: str, attempt: int) -> str:
    """Give the id of the span of an attempt."""
    return _id(f"{run_id}/{attempt}")


def span_in(run_id: str, attempt: int, place: str) -> str:
    """Give the id of a span that an attempt begins at a place: an operation's id, or a count in a branch."""
    return _id(f"{run_id}/{attempt}/{place}")


def _id(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
