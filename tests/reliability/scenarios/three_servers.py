"""Three servers on one database; every few moments one of them is killed (kill -9), and started again."""

import asyncio
import random
from contextlib import AsyncExitStack

from tests.dev.kit import Dev
from tests.reliability import ledger, mix, storm
from tests.reliability.ledger import Entry
from tests.reliability.scenario import Plan, Report, Scenario
from tests.reliability.servers import KEY, Servers
from tests.reliability.storm import Storm

_SERVERS = 3
_RUNS, _KILLS = (250, 10_000), (3, 60)
_LEASE, _HEARTBEAT = 4.0, 1.0
_LONGEST_DOWN = 2.0
_SLOW_MACHINE = 10.0


def run(plan: Plan) -> Report:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Report:
    report, chance, place = Report(), random.Random(plan.seed), Storm(plan)
    servers = Servers(plan.folder, mix.PROJECT, _SERVERS, place.database, lease=_LEASE, heartbeat=_HEARTBEAT)
    crowd = _Crowd(place, servers, chance)
    orders = mix.orders(plan.seed, plan.pick(*_RUNS))
    try:
        await asyncio.gather(*(crowd.start(number) for number in range(_SERVERS)))

        async def kill_many() -> None:
            async for number in storm.moments(place.load, plan.pick(*_KILLS), len(orders), chance):
                await crowd.kill_and_start(number % _SERVERS)

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(place.load.run(orders, storm.CLIENTS))
                group.create_task(kill_many())

        try:
            await storm.unless_stuck(place.load, work(), report)
            await storm.finish(place, report, chance)
        finally:
            await crowd.stop()
        report.must_be("servers killed", crowd.kills, plan.pick(*_KILLS))
        storm.conclude(place, report, engine_only=True)
        _count_gaps(place, report)
    finally:
        await place.close()
    return report


class _Crowd:
    """The servers that run now."""

    def __init__(self, place: Storm, servers: Servers, chance: random.Random) -> None:
        self._place = place
        self._servers = servers
        self._chance = chance
        self._stacks = [AsyncExitStack() for _ in servers.projects]
        self._devs: dict[int, Dev] = {}
        self.kills = 0
        place.ledger = servers.ledger

    async def start(self, number: int) -> None:
        is_new = number not in self._devs
        dev = await self._stacks[number].enter_async_context(self._servers.serving(number))
        self._devs[number] = dev
        self._place.watch(dev)
        if is_new:
            self._place.load.serve(dev.url, KEY)

    async def kill_and_start(self, number: int) -> None:
        """Kill one with all its processes; the others go on, and it comes back after a while."""
        self.kills += 1
        dev = self._devs[number]
        ledger.kill(self._servers.ledger, dev.process.pid, dev.pids())
        await dev.process.wait()
        await self._stacks[number].aclose()
        await asyncio.sleep(_LONGEST_DOWN * self._chance.random())
        await self.start(number)

    async def stop(self) -> None:
        for stack in self._stacks:
            await stack.aclose()


def _count_gaps(place: Storm, report: Report) -> None:
    """Measure how long runs of a killed server waited until they went on, by what they wrote themselves."""
    entries = ledger.read(place.ledger)
    last: dict[str, Entry] = {}
    kills = {each.pid: each.at for each in entries if each.what == ledger.KILLED}
    gaps: list[float] = []
    for each in entries:
        before = last.get(each.run)
        if before is not None and before.token < each.token and before.pid in kills:
            began = kills[before.pid]
            if before.at < began < each.at and before.what not in ("end", "wait", "saw"):
                gaps.append((each.at - began) / 1e9)
        last[each.run] = each
    limit = _LEASE + _HEARTBEAT + _SLOW_MACHINE
    report.figures["runs that went on after their server's death"] = len(gaps)
    gaps.sort()
    half = gaps[len(gaps) // 2] if gaps else 0.0
    report.at_most("seconds until half of them did", round(half, 2), limit)
    # the longest may have waited for a slot in a limited queue, or for a second server that was killed
    report.figures["seconds until all of them did"] = round(max(gaps, default=0.0), 2)


SCENARIO = Scenario(
    name="three-servers",
    title="Three servers on one database, one killed every few moments",
    promise=(
        "Any of several servers can die at any moment: its runs go on at others when its lease is over, or"
        " there when it is back before. Nothing is lost or happens twice, and no limit is exceeded meanwhile."
    ),
    stores=("postgres",),
    run=run,
)
