"""Every scenario in its short tier, on PostgreSQL."""

from tests.reliability import short
from tests.reliability.scenario import Scenario
from tests.store import postgres_server


@short.on("postgres")
def test_what_is_promised_holds(scenario: Scenario, store: str) -> None:
    postgres_server.shared_url()  # skips where there is none
    assert short.holds(scenario, store)
