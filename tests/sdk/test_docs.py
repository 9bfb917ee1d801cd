"""The guide's code runs, and does what the guide says."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, SyncEngine, ok, output_of
from tests.sdk.server import Server, answer, run
from triggerdev.sdk.registry import Registry

GUIDE = Path(__file__).parents[2] / "docs" / "tasks.md"
CASES: list[tuple[str, Any, Any]] = [
    ("greet", "Ada", "Hello Ada"),
    ("place-order", {"item": "tea", "amount": 2}, {"tea": 4}),
    ("fan-out", ["a", "b", "c"], ["Hello a", "Hello b", "Hello c"]),
    ("side-by-side", ["a", "b"], ["Hello a", "Hello b"]),
    ("onboarding", {}, "approved by approved"),
    ("fetch-report", {}, 2),
    ("hooked", {}, 42),
    ("import-users", ["a", "b"], {"progress": 2, "ms": True}),
    ("checkout", {"amount": 3}, "charged 3"),
]


@pytest.fixture
def guide(registry: Registry) -> dict[str, Any]:
    """The names that the guide's code defines, executed block by block."""
    names: dict[str, Any] = {"__name__": "guide"}
    text = GUIDE.read_text()
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block.group(1), str(GUIDE), "exec"), names)
    return names


@pytest.mark.parametrize(("task_id", "payload", "output"), CASES, ids=[case[0] for case in CASES])
async def test_a_task_of_the_guide_does_what_it_says(
    registry: Registry, guide: dict[str, Any], task_id: str, payload: Any, output: Any
) -> None:
    engine = AsyncEngine(registry)
    engine.children = {
        "greet": lambda name: ok(f"Hello {name}"),
        "charge": lambda order: ok(f"charged {order['amount']}"),
    }
    assert output_of(await engine.run(task_id, payload)) == output


async def test_the_step_of_the_guide_gives_its_first_number_again(
    registry: Registry, guide: dict[str, Any]
) -> None:
    engine = AsyncEngine(registry)
    first = output_of(await engine.run("ship-parcel", {"item": "tea"}))
    assert re.fullmatch(r"tea has number \d+", first)
    again = AsyncEngine(registry)
    record = copy.deepcopy(engine.record)
    assert output_of(await again.run("ship-parcel", {"item": "tea"}, record=record)) == first


def test_plain_functions_of_the_guide(registry: Registry, guide: dict[str, Any]) -> None:
    engine = SyncEngine(registry)
    engine.children = {"greet": lambda name: ok(f"Hello {name}")}
    assert output_of(engine.run("add-numbers", [1, 2])) == 3
    engine.record.clear()
    assert output_of(engine.run("blocking-onboarding", {})) == "Hello Ada"
    engine.record.clear()
    assert output_of(engine.run("print-label", {"item": "tea"}))["item"] == "tea"


async def test_the_backend_of_the_guide(guide: dict[str, Any]) -> None:
    server = Server(
        answer({"id": "run_1"}),
        answer(run("COMPLETED")),
        answer(run("COMPLETED")),
        answer({"id": "batch_1", "runCount": 2, "isCached": False}, 202),
        answer({"id": "batch_1", "itemsAccepted": 2, "itemsDeduplicated": 0, "sealed": True}),
    )
    await guide["backend"]()
    assert len(server.requests) == 5


def test_the_blocking_backend_of_the_guide(guide: dict[str, Any]) -> None:
    server = Server(answer({"id": "run_1"}), answer(run("COMPLETED")))
    guide["view"]()
    assert len(server.requests) == 2
