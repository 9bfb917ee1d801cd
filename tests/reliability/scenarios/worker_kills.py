"""kill -9 of worker processes under load, and now and then of those that they are forked from."""

import asyncio
import random
from collections import Counter, defaultdict
from pathlib import Path

from tests.dev.kit import Dev
from tests.reliability import ledger, mix, storm
from tests.reliability.scenario import Plan, Report, Scenario
from tests.reliability.storm import Storm
from triggerdev.worker import processes

_RUNS, _KILLS = (1_000, 20_000), (50, 1_000)
_ROUND = 200
_TEMPLATE, _VERSION, _WORKER = 2, 3, 4  # how far below the main process
_ABOVE = {20: _VERSION, 40: _TEMPLATE}  # which kills of a round hit something else than a worker
_NAMES = {_TEMPLATE: "template", _VERSION: "version"}
_ASYNC_SHARE = 0.4
_LOOP = "anon_inode:[eventpoll]"


def run(plan: Plan) -> Report:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Report:
    report, chance, place = Report(), random.Random(plan.seed), Storm(plan)
    orders = mix.orders(plan.seed, plan.pick(*_RUNS))
    killed: Counter[str] = Counter()
    try:
        async with place.serving() as dev:

            async def kill_many() -> None:
                async for number in storm.moments(place.load, plan.pick(*_KILLS), len(orders), chance):
                    killed[await _kill(place, dev, number, chance)] += 1

            async def work() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(place.load.run(orders, storm.CLIENTS))
                    group.create_task(kill_many())

            await storm.unless_stuck(place.load, work(), report)
            await storm.finish(place, report, chance)
        report.must_be("processes killed", killed.total(), plan.pick(*_KILLS))
        report.figures |= {f"of these: {name}": count for name, count in sorted(killed.items())}
        storm.conclude(place, report)
    finally:
        await place.close()
    return report


async def _kill(place: Storm, dev: Dev, number: int, chance: random.Random) -> str:
    """Kill a process; with it die those that were forked from it. Gives its kind."""
    depth = _ABOVE.get(number % _ROUND, _WORKER)
    while True:
        candidates = _below(dev.process.pid, depth)
        loops = [pid for pid in candidates if depth == _WORKER and _has_loop(pid)]
        if loops and chance.random() < _ASYNC_SHARE:
            candidates = loops
        if candidates and (victim := chance.choice(candidates)):
            try:
                ledger.kill(place.ledger, victim, _descendants(victim))
            except ProcessLookupError:
                continue  # it has ended by itself
            return _NAMES.get(depth, "async worker" if victim in loops else "worker of plain functions")
        await asyncio.sleep(0.01)  # they are being forked again


def _below(root: int, depth: int) -> list[int]:
    level = [root]
    children = _children()
    for _ in range(depth):
        level = [child for pid in level for child in children[pid]]
    return level


def _descendants(root: int) -> list[int]:
    children = _children()
    found = [root]
    for pid in found:
        found += children[pid]
    return found[1:]


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in processes.list_processes():
        if not entry.is_zombie:
            children[entry.parent].append(entry.pid)
    return children


def _has_loop(pid: int) -> bool:
    try:
        return any(_target(link) == _LOOP for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


SCENARIO = Scenario(
    name="worker-kills",
    title="kill -9 of workers",
    promise=(
        "A worker that dies at any moment loses no run, and what it had recorded is not done again. A plain"
        " function uses up an attempt when its process dies; async functions go on from their record."
    ),
    stores=("sqlite", "postgres"),
    run=run,
    done=(
        "60 clients trigger async and plain functions that wait, use tokens, children, batches, steps,"
        " metadata, hooks, idempotency keys and limited queues, or fail a few times, in a real `trigger dev`."
        " At random times one of its worker processes is killed, now and then the one they are forked from."
    ),
)
