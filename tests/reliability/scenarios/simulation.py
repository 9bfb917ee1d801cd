"""The engine's core in a simulated world: virtual time, faults, everything decided by a seed."""

from tests.reliability.scenario import Plan, Report, Scenario
from tests.simulation import coverage
from tests.simulation.many import simulate

_HOUR_MS = 3_600_000


def run(plan: Plan) -> Report:
    """Simulate one seed after the other, from the plan's on."""
    result = simulate(plan.seed, plan.pick(500, 10_000))
    missing = coverage.missing(result.counts)
    report = Report()
    figures = report.figures
    figures["seeds"] = result.seeds
    figures["events"] = result.events
    figures["simulated hours"] = round(result.simulated_ms / _HOUR_MS)
    figures["kinds of transitions of runs"] = coverage.happened(result.counts, coverage.TRANSITIONS)
    figures["kinds of faults"] = coverage.happened(result.counts, coverage.FAULTS)
    figures["kinds of situations"] = coverage.happened(result.counts, coverage.SITUATIONS)
    report.must_be("things that should have happened and did not", ", ".join(missing) or "none", "none")
    report.must_be("seeds that broke a promise", result.broken, 0)
    report.failures += result.failures
    return report


SCENARIO = Scenario(
    name="simulation",
    title="Simulated servers, workers and clients, with faults",
    promise="Crashes, lost connections, full disks and clocks that jump, at any moment: every run that was"
    " accepted ends, by the transitions of the table; only the holder of its lease changes it; limits of"
    " queues, idempotency keys and schedule slots hold; what an operation gave stays so; nothing ends early"
    " or is forgotten; and the output is what the program gives.",
    stores=("memory",),
    run=run,
)
