"""The short tier as tests: one file for each kind of store, so that they run side by side."""

import random

import pytest

from tests.reliability import running
from tests.reliability.scenario import Scenario
from tests.reliability.scenarios import load_all


def on(*stores: str) -> pytest.MarkDecorator:
    """Make a test of every scenario on these stores."""
    cases = [
        pytest.param(scenario, store, id=f"{scenario.name}-{store}")
        for scenario in load_all().values()
        for store in scenario.stores
        if store in stores
    ]
    return pytest.mark.parametrize(("scenario", "store"), cases)


def holds(scenario: Scenario, store: str) -> bool:
    """Run the short tier with a seed of its own, which a failure prints with the command that repeats it."""
    return running.run(scenario, store, "short", random.SystemRandom().randrange(1, 2**32))
