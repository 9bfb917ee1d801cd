"""A corpus of shapes on the real engine: wherever a run is lost, it comes to the same end.

Each shape runs once to the end, then once for each of its operations, lost right after that one was recorded.
"""

import pytest

from tests.testing.generated import shape_of
from tests.testing.replaying import ASYNC_SHAPES, CORPUS, Loss, Shape, execute

# Made by chance; they have come to another end once: metadata was changed while a refresh was under way.
FOUND = [shape_of(3130364993)]


@pytest.fixture(params=[*CORPUS, *FOUND], ids=lambda body: body.__name__)
def shape(request: pytest.FixtureRequest) -> Shape:
    body: Shape = request.param
    return body


async def test_a_run_that_is_lost_comes_to_the_same_end(shape: Shape) -> None:
    whole = Loss()
    expected = await execute(shape, whole)
    assert whole.operations >= 1
    assert expected.attempts == 1
    losses = 0
    for point in range(1, whole.operations + 1):
        lost = Loss(lambda count, point=point: count == point)  # type: ignore[misc]  # its type is that of `when`
        assert await execute(shape, lost) == expected, f"lost after operation {point} of {whole.operations}"
        losses += lost.count  # the last ones may be heard when the run has ended
    assert losses >= whole.operations / 2


async def test_a_run_that_is_lost_after_every_operation_comes_to_the_same_end(shape: Shape) -> None:
    expected = await execute(shape, Loss())
    lost = Loss(lambda _count: True)
    assert await execute(shape, lost) == expected
    assert lost.count >= 1


async def test_a_run_that_leaves_at_every_wait_comes_to_the_same_end(shape: Shape) -> None:
    expected = await execute(shape, Loss())
    assert await execute(shape, Loss(), replay=True) == expected


def test_there_are_forty_shapes() -> None:
    assert len({body.__name__ for body in ASYNC_SHAPES}) >= 40
