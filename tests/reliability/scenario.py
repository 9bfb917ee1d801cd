"""What a reliability scenario is: something is broken on purpose, then what was promised is counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Tier = Literal["short", "long"]
Figure = int | float | str


@dataclass(frozen=True, slots=True)
class Plan:
    """One execution. `seed` decides all chance; `folder` is empty and goes away afterwards.

    `store` is one of the scenario's own.
    """

    store: str
    tier: Tier
    seed: int
    folder: Path

    def pick(self, short: int, long: int) -> int:
        """Choose an amount by tier."""
        return short if self.tier == "short" else long


@dataclass(slots=True)
class Report:
    """What was counted, in the order in which it is to be read, and what should not have been."""

    figures: dict[str, Figure] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def must_be(self, name: str, value: Figure, wanted: Figure) -> None:
        """Note a figure that has one right value."""
        self.figures[name] = value
        if value != wanted:
            self.failures.append(f"{name}: {value}, not {wanted}")

    def at_most(self, name: str, value: float, limit: float) -> None:
        """Note a figure with an upper limit."""
        self.figures[name] = value
        if value > limit:
            self.failures.append(f"{name}: {value}, more than {limit}")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A module of `scenarios/` has one as SCENARIO.

    `promise` is what a reader of the report may rely on, `done` what the scenario does to see whether that
    holds.
    """

    name: str
    title: str
    promise: str
    stores: tuple[str, ...]
    run: Callable[[Plan], Report]
    done: str = ""
