"""Every scenario, on each of its stores, in its short tier. `scripts/reliability` runs the long ones."""

import random

import pytest

from tests.reliability import running
from tests.reliability.scenario import Scenario
from tests.reliability.scenarios import load_all
from tests.store import postgres_server

CASES = [(scenario, store) for scenario in load_all().values() for store in scenario.stores]


@pytest.mark.parametrize(("scenario", "store"), CASES, ids=[f"{each.name}-{store}" for each, store in CASES])
def test_what_is_promised_holds(scenario: Scenario, store: str) -> None:
    if store == "postgres":
        postgres_server.shared_url()
    seed = random.SystemRandom().randrange(1, 2**32)
    assert running.run(scenario, store, "short", seed, keep=False)
