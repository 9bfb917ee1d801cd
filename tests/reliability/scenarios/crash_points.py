"""kill -9 at every named point, on each store: nothing is lost, nothing happens twice."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from tests.reliability.crashing import cases, points, servers
from tests.reliability.crashing.cases import Case, Outcome
from tests.reliability.scenario import Plan, Report, Scenario
from tests.store import postgres_server

_HITS = (1, 2, 10)
_AT_ONCE = 4


def run(plan: Plan) -> Report:
    report = Report()
    hits = _HITS if plan.tier == "long" else _HITS[:1]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = list(pool.map(cases.run, _cases(plan, hits)))
    reached = {outcome.case.point for outcome in outcomes if outcome.was_hit}
    report.figures["processes on a virtual clock, started again and again"] = sum(
        o.processes for o in outcomes
    )
    report.must_be("points of the engine hit, each in a process of its own", _count(outcomes), len(outcomes))
    for outcome in outcomes:
        where = f"{outcome.case.point}, hit {outcome.case.nth}"
        report.failures += [f"{where}: {problem} ({outcome.case.folder})" for problem in outcome.problems]
    reached |= asyncio.run(servers.run(plan, hits, report))
    report.figures["points"] = len(points.of_store(plan.store))
    report.must_be("points never reached", len(points.of_store(plan.store) - reached), 0)
    return report


def _cases(plan: Plan, hits: tuple[int, ...]) -> list[Case]:
    url = postgres_server.shared_url() if plan.store == "postgres" else None
    wanted = [(name, nth) for name in sorted(points.of_engine(plan.store)) for nth in points.hits(name, hits)]
    return [
        Case(
            name,
            nth,
            plan.seed,
            plan.folder / f"{name}-{nth}",
            url,
            f"triggerdev_test_crash_{plan.seed}_{number}",
        )
        for number, (name, nth) in enumerate(wanted)
    ]


def _count(outcomes: list[Outcome]) -> int:
    return sum(outcome.was_hit for outcome in outcomes)


SCENARIO = Scenario(
    name="crash-points",
    title="kill -9 at every named point",
    promise=(
        "Wherever a process dies, in the middle of whatever it does, nothing that was accepted is lost, no"
        " run completes twice, no recorded operation is done twice in an attempt, no batch item, child or"
        " slot of a schedule is missing or there twice, no wait ends early and no limit is exceeded."
    ),
    done=(
        "The source names the moments at which something is half done (`triggerdev/_crash.py`). At each of"
        " them a process kills itself: those of the engine under a virtual clock, with a client that asks"
        " again for what was not answered; those of server, supervisor, template, versions and workers in a"
        " `trigger dev` under load. Others take over, then the rows, the database's own account of every"
        " change and the tasks' ledger are compared with what was asked for. A point that is never reached"
        " is a failure. In the long run each is hit the 1st, the 2nd and the 10th time that it is reached."
    ),
    stores=("sqlite", "postgres"),
    run=run,
)
