"""Whether OpenTelemetry is in use in this process, and what the configuration adds to it.

It is imported for a project that configures it or whose code has imported it, and only in processes that
execute runs: its processors start threads, which must not be in a process that forks.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggerdev.worker.executor.otel import Tracing


@dataclass
class Part:
    """Something that the configuration names: what makes it, and with which keyword arguments."""

    setting: str
    make: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Parts:
    """What `[telemetry]` configures, imported but not made yet. `otlp`: endpoint and headers."""

    instrumentations: list[Part] = field(default_factory=list)
    exporters: list[Part] = field(default_factory=list)
    log_exporters: list[Part] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.instrumentations or self.exporters or self.log_exporters or self.resource)


def made(part: Part, tell: Callable[[str], None]) -> Any:
    """Make what a part stands for, None if that fails."""
    try:
        return part.make(**part.options)
    except Exception as error:
        tell(left_out(part, error))
        return None


def left_out(part: Part, error: Exception) -> str:
    """Say why a part is not there."""
    return f"{part.setting} is left out: {type(error).__name__}: {error}"


_is_worker = False
_tracing: "Tracing | None" = None


def start(parts: Parts, tell: Callable[[str], None]) -> None:
    """Begin to serve a process that executes runs; `tell` gets what cannot be made, which is left out."""
    global _is_worker, _tracing
    _is_worker = True
    if parts:
        from triggerdev.worker.executor.otel import Tracing

        _tracing = Tracing.start(parts, tell)


def mirror() -> "Tracing | None":
    """Give what makes OpenTelemetry's spans, None where it is not in use.

    In a worker process it is if anybody has imported it; elsewhere, such as in tests, if the program has set
    a tracer provider of the SDK.
    """
    global _tracing
    if _tracing is not None:
        return _tracing if _is_worker or _tracing.is_current() else _join()
    if _is_worker and "opentelemetry.trace" in sys.modules:
        from triggerdev.worker.executor.otel import Tracing

        _tracing = Tracing.start(Parts(), lambda _: None)
        return _tracing
    return _join() if "opentelemetry.sdk.trace" in sys.modules else None


def _join() -> "Tracing | None":
    global _tracing
    from triggerdev.worker.executor.otel import Tracing

    _tracing = Tracing.join()
    return _tracing
