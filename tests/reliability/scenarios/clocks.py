"""Clocks that are set, changes to and from summer time, and schedules on two servers."""

import asyncio
import random
from datetime import UTC, datetime

from tests.reliability import jumps, slots, two_servers
from tests.reliability.scenario import Plan, Report, Scenario
from tests.store.backends import PostgresBackend, make_backend
from triggerdev.engine import cron

_FIRST_YEAR = 2016


def run(plan: Plan) -> Report:
    """Check what the plan's store has a part in."""
    report = Report()
    _jumps(plan, report)
    if plan.store == "memory":
        _zones(plan, report)
    if plan.store == "postgres":
        _two_servers(plan, report)
    return report


def _jumps(plan: Plan, report: Report) -> None:
    total = jumps.Outcome()
    for number, (by, way) in enumerate((by, way) for by in jumps.JUMPS.values() for way in (1, -1)):
        for what in (jumps.jump_while_running, jumps.jump_while_down):
            folder = plan.folder / f"{number}-{what.__name__}"
            folder.mkdir()
            backend = make_backend(plan.store, folder)
            found = asyncio.run(what(backend, way * by))
            backend.close()
            for name in ("early", "stuck", "lost", "doubled", "checked"):
                setattr(total, name, getattr(total, name) + getattr(found, name))
    report.figures["things that waited while the clock was set by an hour or a year"] = total.checked
    report.must_be("ended early", total.early, 0)
    report.must_be("did not end in time", total.stuck, 0)
    report.must_be("runs taken from who had them", total.lost, 0)
    report.must_be("slots that ran twice because of it", total.doubled, 0)


def _zones(plan: Plan, report: Report) -> None:
    years = plan.pick(1, 10)
    zones = random.Random(plan.seed).sample(slots.ZONES, plan.pick(2, len(slots.ZONES)))
    first = _seconds(_FIRST_YEAR + plan.pick(plan.seed % 10, 0))
    end = _seconds(_FIRST_YEAR + plan.pick(plan.seed % 10, 0) + years)
    compared, different = 0, []
    for zone in zones:
        for expression in (*slots.DAILY, *slots.STEADY):
            wanted = slots.expected(expression, zone, first, end)
            found = [at // 1000 for at in cron.upcoming(expression, zone, first * 1000, len(wanted))]
            compared += len(wanted)
            different += [f"{expression} in {zone} at {at}" for at in sorted(set(wanted) ^ set(found))]
    report.figures["time zones"] = len(zones)
    report.figures["years"] = years
    report.figures["slots compared with their computation from the zones' offsets"] = compared
    report.must_be("slots that differ", len(different), 0)
    report.failures += different[:3]


def _seconds(year: int) -> int:
    return round(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def _two_servers(plan: Plan, report: Report) -> None:
    for schedules, minutes in ((1, plan.pick(40, 1000)), (10, plan.pick(10, 100))):
        backend = make_backend("postgres", plan.folder)
        assert isinstance(backend, PostgresBackend)
        found = asyncio.run(two_servers.fire(backend, schedules, minutes, plan.seed))
        what = f"two servers, schedules: {schedules}"
        report.figures[f"{what}, kills of all connections"] = found.kills
        report.figures[f"{what}, restarts"] = found.restarts
        report.must_be(f"{what}, slots with one run of {found.wanted}", found.once, found.wanted)
        report.must_be(f"{what}, slots with more runs", found.more, 0)
        report.must_be(f"{what}, runs for the time without a server", found.late, schedules)


SCENARIO = Scenario(
    name="clocks",
    title="Clocks that are set, summer time, schedules on two servers",
    promise="Setting the machine's clock ends nothing early or late and takes no run from its worker. A slot"
    " of a schedule has one run, over changes of time in 20 zones and with two servers that are killed; of a"
    " time without a server the latest slot runs, late.",
    stores=("memory", "sqlite", "postgres"),
    run=run,
)
