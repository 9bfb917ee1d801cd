"""A corpus of task shapes, and runs of them that are lost on purpose: what must be the same at their end."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.testing import plain_shapes, race_shapes, shapes, step_shapes
from tests.testing.shapes import define_children
from triggerdev import task, testing
from triggerdev.sdk import registry as registries
from triggerdev.sdk.registry import Registry
from triggerdev.testing.virtual import EngineOptions

Shape = Callable[..., Any]
ASYNC_SHAPES: list[Shape] = [*shapes.SHAPES, *step_shapes.SHAPES, *race_shapes.SHAPES]
PLAIN_SHAPES: list[Shape] = [*plain_shapes.SHAPES, *step_shapes.PLAIN_SHAPES]
CORPUS: list[Shape] = [*ASYNC_SHAPES, *PLAIN_SHAPES]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class End:
    """What must not depend on where the run was lost; `steps`: how often each step's function has ended."""

    output: Any
    metadata: dict[str, Any]
    tags: list[str]
    attempts: int
    triggered: Counter[str]
    steps: Counter[str]


class Loss:
    """Loses the first run that does an operation, at its operations for which `when` says so."""

    def __init__(self, when: Callable[[int], bool] = lambda _count: False) -> None:
        self._when = when
        self._run: str | None = None
        self.operations = 0
        self.count = 0

    def __call__(self, run: str, count: int) -> bool:
        self._run = self._run or run
        if run != self._run:
            return False
        self.operations = count
        is_lost = self._when(count)
        self.count += is_lost
        return is_lost


async def execute(shape: Shape, loss: Loss, **options: Any) -> End:
    """Run a shape to its end, lost on the way where `loss` says so."""
    step_shapes.LEDGER.clear()
    given: EngineOptions = {"now": NEW_YEAR, "patience": 60, "interrupt": loss, **options}  # type: ignore[typeddict-item]  # of Any
    with registries.use(Registry()):
        define_children()
        task(id="shape")(shape)
        async with testing.engine(**given) as engine:
            run = await engine.run("shape")
            await engine.idle()
            return End(
                run.unwrap(),
                run.metadata,
                sorted(run.tags),
                run.attempts,
                Counter(f"{each.task} {each.payload!r}" for each in engine.runs),
                Counter(step_shapes.LEDGER),
            )
