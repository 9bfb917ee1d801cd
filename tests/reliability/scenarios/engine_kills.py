"""kill -9 of `trigger dev` under load, and a new start at once: at any moment, also while it starts."""

import asyncio
import random
from contextlib import AsyncExitStack

from tests.reliability import ledger, mix, storm
from tests.reliability.scenario import Plan, Report, Scenario
from tests.reliability.storm import Storm

_RUNS, _KILLS = (500, 10_000), (10, 100)
_EARLY_SHARE = 0.1
_START_SECONDS = 1.0


def run(plan: Plan) -> Report:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Report:
    report, chance, place = Report(), random.Random(plan.seed), Storm(plan)
    orders = mix.orders(plan.seed, plan.pick(*_RUNS))
    try:
        engine = _Engine(place)
        await engine.start()

        async def kill_many() -> None:
            async for _ in storm.moments(place.load, plan.pick(*_KILLS), len(orders), chance):
                await engine.kill_and_start(chance)

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(place.load.run(orders, storm.CLIENTS))
                group.create_task(kill_many())

        try:
            await storm.unless_stuck(place.load, work(), report)
            await storm.finish(place, report, chance)
        finally:
            await engine.stop()
        report.must_be("engines killed", engine.kills, plan.pick(*_KILLS))
        report.figures["of these: before they served"] = engine.early
        storm.conclude(place, report, engine_only=True)
    finally:
        await place.close()
    return report


class _Engine:
    """The main process of the storm: the one that runs now."""

    def __init__(self, place: Storm) -> None:
        self._place = place
        self._stack = AsyncExitStack()
        self.kills = self.early = 0

    async def start(self, *, ready: bool = True) -> None:
        self._dev = await self._stack.enter_async_context(self._place.serving(ready=ready))

    async def kill_and_start(self, chance: random.Random) -> None:
        """Kill it and start it again; some are killed once more on their way."""
        await self._kill()
        is_early = chance.random() < _EARLY_SHARE
        await self.start(ready=not is_early)
        if is_early:
            self.early += 1
            await asyncio.sleep(_START_SECONDS * chance.random())

    async def _kill(self) -> None:
        self.kills += 1
        ledger.kill(self._place.ledger, self._dev.process.pid, None)
        await self._dev.process.wait()
        await self.stop()

    async def stop(self) -> None:
        await self._stack.aclose()
        self._stack = AsyncExitStack()


SCENARIO = Scenario(
    name="engine-kills",
    title="kill -9 of the engine",
    promise=(
        "What was accepted is on disk. When `trigger dev` dies at any moment, everything goes on after its"
        " next start where its record ends, in the same attempt."
    ),
    stores=("sqlite", "postgres"),
    run=run,
    done=(
        "The same load. At random times the main process of `trigger dev`, which has the engine and the HTTP"
        " server, is killed and started again at once; one in ten is killed again before it serves."
    ),
)
