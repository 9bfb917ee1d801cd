"""PostgreSQL ends at once, as in a crash, under load, and comes back a little later; again and again."""

import asyncio
import random
import time

import httpx

from tests.dev.kit import Dev
from tests.reliability import mix, storm
from tests.reliability.scenario import Plan, Report, Scenario
from tests.reliability.storm import Storm
from tests.store.postgres_server import Server

_RUNS, _STOPS = (300, 10_000), (3, 50)
_LONGEST_DOWN = 1.5
_SILENCE_SECONDS = 20


def run(plan: Plan) -> Report:
    server = Server()
    try:
        return asyncio.run(_run(plan, server))
    finally:
        server.stop()


async def _run(plan: Plan, server: Server) -> Report:
    report, chance = Report(), random.Random(plan.seed)
    place = Storm(plan, server_url=server.url)
    orders = mix.orders(plan.seed, plan.pick(*_RUNS))
    stops: list[float] = []
    try:
        async with place.serving() as dev:

            async def stop_many() -> None:
                async for _ in storm.moments(place.load, plan.pick(*_STOPS), len(orders), chance):
                    stops.append(await _stop_and_start(server, place, chance))

            async def work() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(place.load.run(orders, storm.CLIENTS))
                    group.create_task(stop_many())

            await storm.unless_stuck(place.load, work(), report)
            report.must_be("times PostgreSQL was stopped", len(stops), plan.pick(*_STOPS))
            report.figures["seconds from its return to the next end of a run: longest"] = _longest(stops)
            if plan.tier == "long":
                await _long_silence(server, dev, place, report)
            await storm.finish(place, report, chance)
        storm.conclude(place, report, engine_only=True)
    finally:
        await place.close()
    return report


async def _stop_and_start(server: Server, place: Storm, chance: random.Random) -> float:
    """Stop it, start it; gives the seconds from when it serves again to the next end of a run."""
    await asyncio.to_thread(server.crash)
    await asyncio.sleep(_LONGEST_DOWN * chance.random())
    await asyncio.to_thread(server.start)
    began, ended = time.monotonic(), place.load.finished
    await place.load.until(ended + 1)
    return time.monotonic() - began


def _longest(seconds: list[float]) -> float:
    return round(max(seconds, default=0.0), 2)


async def _long_silence(server: Server, dev: Dev, place: Storm, report: Report) -> None:
    """Look at what a client sees while there is no database for longer than anybody waits for it."""
    values = dev.env_file()
    key = {"Authorization": f"Bearer {values['TRIGGER_SECRET_KEY']}"}
    answers: list[httpx.Response] = []
    await asyncio.to_thread(server.crash)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=dev.url, headers=key, timeout=60, trust_env=False) as http:
        while time.monotonic() < began + _SILENCE_SECONDS:
            answers.append(await http.post("/api/v1/tasks/leaf/trigger", json={"payload": {}}))
            report.figures.setdefault("seconds until the first 503", round(time.monotonic() - began, 1))
            await asyncio.sleep(1)
    await asyncio.to_thread(server.start)
    clear = [each for each in answers if each.status_code == 503 and "retry-after" in each.headers]
    report.must_be(
        "answers without a database that are no 503 with Retry-After", len(answers) - len(clear), 0
    )
    report.figures["what they say"] = answers[0].json()["error"]


SCENARIO = Scenario(
    name="database-stops",
    title="PostgreSQL stops in the middle of everything",
    promise=(
        "When the database ends at any moment, also while a commit is under way, nothing that was accepted is"
        " lost and nothing happens twice; work goes on by itself when it is back. Clients get 503 and may try"
        " again."
    ),
    stores=("postgres",),
    run=run,
)
