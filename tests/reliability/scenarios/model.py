"""Random commands on the stores on disk and on the one in memory, side by side."""

from tests.model.comparing import compare, operations_of
from tests.model.tour import EVERY_KIND
from tests.reliability.scenario import Plan, Report, Scenario

_SHORT = {"sqlite": 2_000, "postgres": 500}


def run(plan: Plan) -> Report:
    """Compare the plan's store with the one in memory after each command."""
    succeeded = compare(plan.store, plan.pick(_SHORT[plan.store], 100_000), plan.seed)
    report = Report()
    report.figures["operations"] = operations_of(succeeded)
    report.figures["kinds of operations"] = (
        f"{sum(succeeded[kind] > 0 for kind in EVERY_KIND)} of {len(EVERY_KIND)}"
    )
    if plan.tier == "long":
        never = sorted(kind for kind in EVERY_KIND if not succeeded[kind])
        report.must_be("kinds that never succeeded", ", ".join(never) or "none", "none")
    report.must_be("differences", 0, 0)  # the first one ends the run
    return report


SCENARIO = Scenario(
    name="model",
    title="Random commands, compared with a model",
    promise="Every command gives the same answer and leaves the same rows on SQLite, on PostgreSQL and in a"
    " model in memory that shares no code with them; compared after each of them.",
    stores=("sqlite", "postgres"),
    run=run,
)
