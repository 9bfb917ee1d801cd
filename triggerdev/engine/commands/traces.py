"""Spans beside the state of runs: how attempts end, what a trace consists of.

A run and its latest attempt have no rows of their own, since what their spans say stands in `runs`.
"""

from typing import Any

from triggerdev import _traces
from triggerdev._traces import TraceContext
from triggerdev.engine.context import Context
from triggerdev.engine.model import Run, RunTrace, Span
from triggerdev.protocol import ErrorInfo

MOST_SPANS = 10_000
_MOST_RUNS = 1_000
_NS = 1_000_000


def of_child(run: Run, args: dict[str, Any]) -> TraceContext | None:
    """Give the span in which a run triggers another one, as its worker names it."""
    return _traces.parse(args.get("traceparent"), run.tracestate)


def end_attempt(ctx: Context, run: Run, error: ErrorInfo) -> None:
    """Keep the span of an attempt that is followed by another one."""
    span = Span(
        run=run.id,
        id=_traces.attempt_span(run.id, run.attempt),
        attempt=run.attempt,
        parent=_traces.run_span(run.id),
        name=f"Attempt {run.attempt}",
        kind="attempt",
        started_ns=(run.attempt_started_at or ctx.now) * _NS,
        ended_ns=ctx.now * _NS,
        error=headline(error),
    )
    ctx.tx.put_spans([span])


def headline(error: ErrorInfo) -> str:
    """Say in a line what an error is."""
    name = error.get("name") or error.get("code") or ""
    message = error.get("message") or error.get("raw") or ""
    return f"{name}: {message}" if name and message else name or message or "failed"


def read(ctx: Context, run_id: str, most: int) -> RunTrace:
    """Read a run with its descendants, parents first, and the spans of all. Raises NoSuchRunError."""
    first = ctx.run(run_id)
    runs = [first]
    for run in runs:  # grows while it is read
        if len(runs) >= _MOST_RUNS:
            break
        runs.extend(ctx.tx.children(run.id, _MOST_RUNS - len(runs)))
    spans = ctx.tx.read_spans([run.id for run in runs], most + 1)
    is_cut = len(spans) > most or len(runs) >= _MOST_RUNS
    return RunTrace(first, runs, spans[:most], ctx.now, is_cut)
