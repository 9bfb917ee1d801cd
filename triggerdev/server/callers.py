"""The trace that a caller is in, as its headers tell."""

from typing import Any

from starlette.requests import Request

from triggerdev import _traces
from triggerdev._traces import TraceContext


def trace_of(request: Request) -> TraceContext | None:
    """Read `traceparent` and `tracestate`; what is not written as the W3C says is passed over."""
    headers = request.headers
    return _traces.parse(headers.get("traceparent"), headers.get("tracestate"))


def trace_in(body: dict[str, Any]) -> TraceContext | None:
    """Read the same of a trigger that has come with others."""
    found = (body.get(name) for name in ("traceparent", "tracestate"))
    parent, state = (value if isinstance(value, str) else None for value in found)
    return _traces.parse(parent, state)
