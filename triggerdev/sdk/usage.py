"""`usage`: compute time and cost of the current run; waits do not count."""

import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from triggerdev.sdk import session
from triggerdev.sdk.calls import Call, drive, refuse_loop

__all__ = ["Compute", "Measured", "Usage", "get_current", "measure", "sync"]

T = TypeVar("T")


@dataclass(frozen=True)
class Compute:
    """Compute time in milliseconds and its cost in cents."""

    duration_ms: float = 0.0
    cost_in_cents: float = 0.0


@dataclass(frozen=True)
class Usage:
    """Usage of the run: `attempt` is this attempt, `total` all of them."""

    attempt: Compute
    total: Compute
    base_cost_in_cents: float = 0.0

    @property
    def duration_ms(self) -> float:
        return self.total.duration_ms

    @property
    def cost_in_cents(self) -> float:
        return self.total.cost_in_cents + self.base_cost_in_cents


@dataclass(frozen=True)
class Measured(Generic[T]):
    """What a function returned, and what it used."""

    result: T
    compute: Compute


def get_current() -> Usage:
    """Give the usage so far; zero outside of runs."""
    attempt, total = _clock()
    return Usage(_compute(attempt), _compute(total))


def _clock() -> tuple[float, float]:
    running = session.current()
    return running.usage_ms() if running is not None else (0.0, 0.0)


def _compute(ms: float) -> Compute:
    running = session.current()
    price = running.context.machine.cents_per_ms if running is not None else 0.0
    return Compute(ms, ms * price)


def _now_ms() -> float:
    running = session.current()
    return running.usage_ms()[0] if running is not None else time.perf_counter() * 1000


async def _measure(function: Callable[[], Awaitable[T] | T]) -> Measured[T]:
    started = _now_ms()
    outcome = function()
    result: T = await outcome if inspect.isawaitable(outcome) else outcome
    return Measured(result, _compute(_now_ms() - started))


@overload
def measure(function: Callable[[], Awaitable[T]]) -> Call[Measured[T]]: ...
@overload
def measure(function: Callable[[], T]) -> Call[Measured[T]]: ...
def measure(function: Callable[[], Awaitable[T] | T]) -> Call[Measured[T]]:
    """Call a function and give its result with the compute time it took."""
    return Call(_measure(function))


def _measure_blocking(function: Callable[[], T]) -> Measured[T]:
    """Call a function and give its result with the compute time it took."""
    refuse_loop("usage.measure")
    return drive(_measure(function))


class _Sync:
    """The same calls for code without an event loop."""

    measure = staticmethod(_measure_blocking)
    get_current = staticmethod(get_current)


sync = _Sync()
