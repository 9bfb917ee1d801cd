"""Every store does what the one in memory does. (Random commands are a reliability scenario.)"""

from collections import Counter
from pathlib import Path

import pytest

from tests.model import comparing
from tests.model.comparison import difference
from tests.model.machine import StoreMachine
from tests.model.tour import EVERY_KIND, tour
from tests.store.backends import make_backend


@pytest.fixture(params=["sqlite", "postgres"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> type[StoreMachine]:
    """The machine for one store; skips where it cannot be had."""
    kind: str = request.param
    make_backend(kind, tmp_path).close()

    return comparing.machine(kind, Counter())


def test_a_store_agrees_with_memory_on_each_kind_of_command(machine: type[StoreMachine]) -> None:
    made = machine()
    try:
        tour(made)
    finally:
        made.teardown()
    assert EVERY_KIND - {kind for kind, count in machine.succeeded.items() if count} == set()


@pytest.mark.parametrize(
    ("here", "there", "place"),
    [
        ({"runs": [{"id": 1}]}, {"runs": [{"id": 2}]}, ".runs[0].id: 1 and 2"),
        ({"a": 1}, {"a": 1, "b": None, "c": 2}, ".c: None and 2"),
        ([1, 2], [1], "the top: [1, 2] and [1]"),
    ],
)
def test_a_difference_is_named_by_its_place(here: object, there: object, place: str) -> None:
    assert difference(here, there) == place
