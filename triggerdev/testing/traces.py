"""What a test sees of a run's trace."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from triggerdev.engine.model import RunTrace
from triggerdev.server.traces import Shown, collect, nest


@dataclass(frozen=True)
class SpanReport:
    """A part of a run: `kind` is run, attempt, wait, trigger, step, user or auto.

    `duration` is that on the virtual clock.
    """

    name: str
    kind: str
    run_id: str
    duration: timedelta
    error: str | None
    attributes: dict[str, Any] = field(default_factory=dict)
    children: list["SpanReport"] = field(default_factory=list)

    def __iter__(self) -> Iterator["SpanReport"]:
        """Go through this span and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child

    def find(self, name: str) -> "SpanReport":
        """Give the first span of a name, this one or one below it. Raises AssertionError."""
        found = next((span for span in self if span.name == name), None)
        assert found is not None, f"no span {name!r} among {[span.name for span in self]}"
        return found

    @property
    def outline(self) -> list[str]:
        """The names, those below others indented by two blanks."""
        return [self.name, *(f"  {line}" for child in self.children for line in child.outline)]


def report(trace: RunTrace) -> SpanReport:
    """Describe a run's trace."""
    runs = collect(trace)
    nest(trace, runs)
    return _span(runs[trace.run.id][0])


def _span(shown: Shown) -> SpanReport:
    span = shown.span
    children = sorted(shown.children, key=lambda each: each.span.started_ns)
    return SpanReport(
        span.name,
        span.kind,
        span.run,
        timedelta(microseconds=shown.duration_ns // 1000),
        span.error,
        span.attributes or {},
        [_span(child) for child in children],
    )
