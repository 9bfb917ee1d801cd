"""Every store does what the one in memory does."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import StoreMachine, difference
from tests.model.tour import tour
from tests.store.backends import make_backend

STEPS = 50  # of one example; a step is a command and a few questions
_ASKED = os.environ.get("TRIGGER_MODEL_OPERATIONS")
OPERATIONS = {"sqlite": int(_ASKED or 2000), "postgres": int(_ASKED or 300)}
SEED = int(os.environ.get("TRIGGER_MODEL_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
EVERY_KIND = {
    *("activate", "trigger", "replay", "reschedule", "cancel", "add_tags", "change_metadata", "count_up"),
    *("create_batch", "add_items", "create_token", "complete_token", "claim", "tick"),
    *("recover", "sweep", "clean"),
    *("park", "evicted", "lost", "stale", "logs", "done crashed"),
    *(f"done {outcome}" for outcome in ("ok", "failed", "timed_out", "cancelled")),
    *(f"{kind} accepted" for kind in ("wait", "wait_token", "create_token", "complete_token", "trigger")),
    *(f"{kind} accepted" for kind in ("trigger_and_wait", "batch_trigger", "batch_trigger_and_wait")),
    *(f"{kind} accepted" for kind in ("tags", "metadata", "step")),
    *("list_runs", "list_tokens", "children", "retrieve_batch", "find_token"),
}


@pytest.fixture(params=OPERATIONS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> type[StoreMachine]:
    """The machine for one store; skips where it cannot be had."""
    kind: str = request.param
    make_backend(kind, tmp_path).close()

    class Machine(StoreMachine):
        stores = (kind,)
        succeeded: Counter[str] = Counter()

    return Machine


def test_a_store_agrees_with_memory_on_random_commands(machine: type[StoreMachine]) -> None:
    """TRIGGER_MODEL_OPERATIONS sets how many there are, TRIGGER_MODEL_SEED repeats a run."""
    (kind,) = machine.stores
    operations = OPERATIONS[kind]
    chosen = settings(
        max_examples=max(1, operations // STEPS),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    again = f"TRIGGER_MODEL_SEED={SEED} TRIGGER_MODEL_OPERATIONS={operations} pytest tests/model -k {kind}"
    try:
        run_state_machine_as_test(seed(SEED)(machine), settings=chosen)
    except Exception as error:
        error.add_note(f"seed {SEED}; to repeat: {again}")
        raise
    done = sum(count for name, count in machine.succeeded.items() if not name.endswith("accepted"))
    assert done > operations // 2


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
