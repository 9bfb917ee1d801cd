"""Schedules on two servers of one database whose connections are killed and who restart."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from tests.engine.kit import MINUTE, EngineKit, task
from tests.store.backends import PostgresBackend
from triggerdev import _json
from triggerdev.engine.leases import Leases

_LEASES = Leases(30 * 86_400, 10 * 86_400)  # the clock goes by minutes
_DOWN = 7  # minutes without any server


@dataclass(slots=True)
class Slots:
    """What became of slots. `late`: of the time without a server, one run for each schedule."""

    wanted: int = 0
    once: int = 0
    more: int = 0
    late: int = 0
    kills: int = 0
    restarts: int = 0


class Pair:
    """Two servers on one clock, without room for runs."""

    def __init__(self, database: PostgresBackend, schedules: int, seed: int) -> None:
        cron = {"cron": "* * * * *", "timezone": "UTC"}
        tasks = [task(f"every-{n}", schedule=cron) for n in range(schedules)]
        self.database = database
        self.kits = [EngineKit(database, tasks, (), seed + n * 1000) for n in range(2)]
        self.kits[1].clock = self.clock = self.kits[0].clock
        for name, kit in zip("ab", self.kits, strict=True):
            kit.worker_name, kit.leases = name, _LEASES

    async def open(self, kit: EngineKit) -> None:
        await kit.open()
        kit.worker.room.update({"async": 0, "sync": 0})

    async def tick(self, *kits: EngineKit) -> None:
        """Let servers look at the same time for what is due."""
        await asyncio.gather(*(kit.engine.tick() for kit in kits))

    def kill_connections(self) -> None:
        """End all connections of both servers, whatever they are at."""
        self.database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        )

    def stamps(self) -> Counter[tuple[str, str]]:
        """Count the runs of each slot."""
        rows = self.database.query("SELECT task, payload FROM runs")
        return Counter((name, _json.loads(text)["json"]["timestamp"]) for name, text in rows)


async def fire(database: PostgresBackend, schedules: int, minutes: int, seed: int) -> Slots:
    """Let schedules of every minute run, with kills and restarts in between, then without a server."""
    rng, pair, found = random.Random(seed), Pair(database, schedules, seed), Slots()
    for kit in pair.kits:
        await pair.open(kit)
    for _ in range(minutes):
        pair.clock.advance(MINUTE)
        await _minute(pair, rng, found)
    before = pair.stamps()
    found.wanted = schedules * minutes
    found.once = sum(count == 1 for count in before.values())
    for kit in pair.kits:
        await kit.close()
    pair.clock.advance(_DOWN * MINUTE)
    for kit in pair.kits:
        await pair.open(kit)
    await pair.tick(*pair.kits)
    after = pair.stamps()
    found.late = len(after) - len(before)
    found.more = sum(count > 1 for count in after.values())
    for kit in pair.kits:
        await kit.close()
    return found


async def _minute(pair: Pair, rng: random.Random, found: Slots) -> None:
    chance = rng.random()
    if chance < 0.1:
        found.restarts += 1
        kit, other = rng.sample(pair.kits, 2)
        await asyncio.gather(kit.close(), pair.tick(other))
        await pair.open(kit)
    elif chance < 0.3:
        found.kills += 1
        ticking = asyncio.ensure_future(pair.tick(*pair.kits))
        await asyncio.to_thread(pair.kill_connections)
        await ticking
    await pair.tick(*pair.kits)
