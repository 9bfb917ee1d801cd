"""`usage`: compute time and cost of the current run; waits do not count."""

import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from triggerdev.errors import PayloadError
from triggerdev.sdk import session
from triggerdev.sdk.calls import Call, drive, refuse_loop

__all__ = ["Compute", "Computes", "Measured", "Usage", "get_current", "measure", "sync"]

T = TypeVar("T")


@dataclass(frozen=True)
class Compute:
    """Compute time in milliseconds and its cost in cents."""

    duration_ms: float = 0.0
    cost_in_cents: float = 0.0


@dataclass(frozen=True)
class Computes:
    """Compute of the run: `attempt` is this attempt, `total` all of them."""

    attempt: Compute
    total: Compute


@dataclass(frozen=True)
class Usage:
    """Usage of the run: compute time, and what the run costs by itself."""

    compute: Computes
    base_cost_in_cents: float = 0.0

    @property
    def attempt(self) -> Compute:
        """This attempt's."""
        return self.compute.attempt

    @property
    def total(self) -> Compute:
        """All attempts'."""
        return self.compute.total

    @property
    def duration_ms(self) -> float:
        """Compute time of all attempts."""
        return self.compute.total.duration_ms

    @property
    def total_cost_in_cents(self) -> float:
        """What all of it costs."""
        return self.compute.total.cost_in_cents + self.base_cost_in_cents

    @property
    def cost_in_cents(self) -> float:
        """The same under the shorter name."""
        return self.total_cost_in_cents


@dataclass(frozen=True)
class Measured(Generic[T]):
    """What a function returned, and what it used."""

    result: T
    compute: Compute


def get_current() -> Usage:
    """Give the usage so far; zero outside of runs."""
    running = session.current()
    if running is None:
        return Usage(Computes(Compute(), Compute()))
    price = running.context.machine.cents_per_ms
    here, attempt, total = running.usage_ms()
    spent = running.cost_before + here * price
    computes = Computes(Compute(attempt, attempt * price), Compute(total, spent))
    return Usage(computes, running.context.run.base_cost_in_cents)


def _now() -> tuple[float, float]:
    """Give the compute time so far, in ms, and the price of one."""
    running = session.current()
    if running is None:
        return time.perf_counter() * 1000, 0.0
    return running.usage_ms()[0], running.context.machine.cents_per_ms


async def _measure(function: Callable[[], Awaitable[T] | T]) -> Measured[T]:
    if not callable(function):
        raise PayloadError(f"usage.measure({function!r:.60}): give a function without arguments.")
    started, price = _now()
    outcome = function()
    result: T = await outcome if inspect.isawaitable(outcome) else outcome
    used = _now()[0] - started
    return Measured(result, Compute(used, used * price))


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
