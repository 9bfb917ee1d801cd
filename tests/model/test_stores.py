"""Every store does what the one in memory does."""

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import StoreMachine, difference, tour

STEPS = 50
OPERATIONS = int(os.environ.get("TRIGGER_MODEL_OPERATIONS", "2000"))
SEED = int(os.environ.get("TRIGGER_MODEL_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
EVERY_KIND = {
    *("activate", "trigger", "replay", "reschedule", "cancel", "add_tags", "change_metadata", "count_up"),
    *("create_batch", "add_items", "create_token", "complete_token", "recover", "sweep", "claim", "tick"),
    *("park", "evicted", "lost", "stale", "logs", "done crashed"),
    *(f"done {outcome}" for outcome in ("ok", "failed", "timed_out", "cancelled")),
    *(f"{kind} accepted" for kind in ("wait", "wait_token", "create_token", "complete_token", "trigger")),
    *(f"{kind} accepted" for kind in ("trigger_and_wait", "batch_trigger", "batch_trigger_and_wait")),
    *(f"{kind} accepted" for kind in ("tags", "metadata")),
    *("list_runs", "list_tokens", "children", "retrieve_batch", "find_token"),
}


def test_all_stores_agree_on_random_commands() -> None:
    """Set TRIGGER_MODEL_OPERATIONS for a longer run and TRIGGER_MODEL_SEED to repeat one."""
    chosen = settings(
        max_examples=max(1, OPERATIONS // STEPS),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    again = f"TRIGGER_MODEL_SEED={SEED} TRIGGER_MODEL_OPERATIONS={OPERATIONS} python -m pytest tests/model"
    try:
        run_state_machine_as_test(seed(SEED)(StoreMachine), settings=chosen)
    except Exception as error:
        error.add_note(f"seed {SEED}; to repeat: {again}")
        raise
    done = sum(count for kind, count in StoreMachine.succeeded.items() if not kind.endswith("accepted"))
    assert done > OPERATIONS // 2


def test_all_stores_agree_on_each_kind_of_command() -> None:
    before = StoreMachine.succeeded.copy()
    machine = StoreMachine()
    try:
        tour(machine)
    finally:
        machine.teardown()
    succeeded = StoreMachine.succeeded - before
    assert EVERY_KIND - {kind for kind, count in succeeded.items() if count} == set()


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
