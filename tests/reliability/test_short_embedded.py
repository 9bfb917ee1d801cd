"""Every scenario in its short tier, on the stores that a process has for itself."""

from tests.reliability import short
from tests.reliability.scenario import Scenario


@short.on("memory", "sqlite")
def test_what_is_promised_holds(scenario: Scenario, store: str) -> None:
    assert short.holds(scenario, store)
