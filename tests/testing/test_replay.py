"""A corpus of shapes on the real engine: wherever a run is lost, it comes to the same end.

Each shape runs once to the end, then once for each of its operations, lost right after that one was recorded.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.testing.plain_shapes import SHAPES as PLAIN_SHAPES
from tests.testing.shapes import SHAPES, Shape, define_children
from triggerdev import task, testing
from triggerdev.testing.virtual import EngineOptions

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class End:
    """What must not depend on where the run was lost."""

    output: Any
    metadata: dict[str, Any]
    tags: list[str]
    attempts: int
    triggered: Counter[str]


class Loss:
    """Loses the first run that does an operation, at its operations for which `when` says so."""

    def __init__(self, when: Callable[[int], bool]) -> None:
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


async def execute(loss: Loss, **options: Any) -> End:
    given: EngineOptions = {"now": NEW_YEAR, "interrupt": loss, **options}  # type: ignore[typeddict-item]  # of Any
    async with testing.engine(**given) as engine:
        run = await engine.run("shape")
        await engine.idle()
        return End(
            run.unwrap(),
            run.metadata,
            sorted(run.tags),
            run.attempts,
            Counter(f"{each.task} {each.payload!r}" for each in engine.runs),
        )


PARAMETERS = [pytest.param(body, id=body.__name__) for body in (*SHAPES, *PLAIN_SHAPES)]


@pytest.fixture(params=PARAMETERS)
def shape(request: pytest.FixtureRequest) -> Shape:
    body: Shape = request.param
    define_children()
    task(id="shape")(body)
    return body


async def test_a_run_that_is_lost_comes_to_the_same_end(shape: Shape) -> None:
    whole = Loss(lambda _count: False)
    expected = await execute(whole)
    assert whole.operations >= 1
    assert expected.attempts == 1
    losses = 0
    for point in range(1, whole.operations + 1):
        lost = Loss(lambda count, point=point: count == point)  # type: ignore[misc]  # its type is that of `when`
        assert await execute(lost) == expected, f"lost after operation {point} of {whole.operations}"
        losses += lost.count  # the last ones may be heard when the run has ended
    assert losses >= whole.operations / 2


async def test_a_run_that_is_lost_after_every_operation_comes_to_the_same_end(shape: Shape) -> None:
    expected = await execute(Loss(lambda _count: False))
    lost = Loss(lambda _count: True)
    assert await execute(lost) == expected
    assert lost.count >= 1


async def test_a_run_that_leaves_at_every_wait_comes_to_the_same_end(shape: Shape) -> None:
    expected = await execute(Loss(lambda _count: False))
    assert await execute(Loss(lambda _count: False), replay=True) == expected


def test_there_are_forty_shapes() -> None:
    assert len({body.__name__ for body in SHAPES}) >= 40
