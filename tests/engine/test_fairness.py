"""Whose turn it is: lanes (a queue and a concurrency key) share what there is, on each store alike."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.engine.kit import HOUR, EngineKit, Worker, engine_kit, item, task
from tests.store.backends import Backend
from triggerdev.engine.model import Status

pytestmark = pytest.mark.parametrize("backend", ["sqlite", "postgres", "memory"], indirect=True)
MANY = 10_000
TASKS = (task("job", queue={"name": "shared"}), task("child"), task("narrow", queue={"concurrency_limit": 2}))


@dataclass
class World:
    """An engine whose worker has room for nothing yet."""

    kit: EngineKit
    running: list[str] = field(default_factory=list)

    @property
    def worker(self) -> Worker:
        return self.kit.worker

    async def queue(self, key: str, count: int = 1, task_id: str = "job", **options: Any) -> list[str]:
        """Put runs of a tenant into their lane."""
        runs: list[str] = []
        for start in range(0, count, 1000):
            size = min(1000, count - start)
            batch = await self.kit.engine.create_batch(run_count=size)
            items = [item(task_id, None, index=n, concurrencyKey=key, **options) for n in range(size)]
            await self.kit.engine.add_batch_items(batch.id, items)
            runs += (await self.kit.batch(batch.id)).runs
        return runs

    async def started(self, room: int) -> list[str]:
        """Give the worker room for so many runs at once; lists those that it was given, in order."""
        self.worker.room["async"] = room
        self.kit.engine.pump()
        await self.kit.settled()
        return [message["run"]["id"] for message in self.worker.heard("start")]

    async def turns(self, count: int) -> str:
        """Let so many runs end, one at a time; tells their keys. The next one executes then."""
        keys = ""
        self.running += await self.started(1)
        for _ in range(count):
            (run,) = self.running
            keys += (await self.kit.run(run)).concurrency_key or ""
            await self.worker.ok(run)
            self.running = await self.started(1)
        return keys


@pytest.fixture
async def world(backend: Backend) -> AsyncIterator[World]:
    async with engine_kit(backend, tasks=TASKS) as kit:
        kit.worker.room.update({"async": 0, "sync": 0})
        yield World(kit)


async def test_a_tenant_with_10000_runs_does_not_keep_another_waiting(world: World) -> None:
    crowd = await world.queue("crowd", MANY)
    (first, *_) = await world.started(1)
    assert first == crowd[0]
    (late,) = await world.queue("late")
    await world.worker.ok(first)
    assert await world.started(1) == [late]
    await world.worker.ok(late)
    assert await world.started(1) == [crowd[1]]


async def test_who_has_the_fewest_executing_runs_gets_the_next_slot(world: World) -> None:
    await world.queue("crowd", 100)
    crowd = await world.started(10)
    late = await world.queue("late", 3)
    for run, next_run in zip(crowd, late, strict=False):
        await world.worker.ok(run)
        assert await world.started(10) == [next_run]
    await world.worker.ok(late[0])
    (again,) = await world.started(10)
    assert (await world.kit.run(again)).concurrency_key == "crowd"


async def test_a_claim_of_many_slots_divides_them(world: World) -> None:
    crowd, few, pair = [await world.queue(key, n) for key, n in (("crowd", 50), ("few", 20), ("pair", 2))]
    started = await world.started(22)
    assert started[:6] == [crowd[0], few[0], pair[0], crowd[1], few[1], pair[1]]
    assert set(started) == {*crowd[:10], *few[:10], *pair}


async def test_of_equals_the_one_is_next_whose_turn_is_longest_ago(world: World) -> None:
    for key in "abc":
        await world.queue(key, 3)
    assert await world.turns(9) == "abcabcabc"


async def test_turns_are_remembered_by_the_next_process(world: World) -> None:
    for key in "abc":
        await world.queue(key, 2)
    assert await world.turns(1) == "a"
    world.kit.room = 1
    await world.kit.restart()
    world.running = [(await world.worker.started())["id"]]
    assert await world.turns(5) == "cabcb", "b had its turn, and goes on when the others had theirs"


async def test_a_lane_without_a_turn_for_a_day_counts_as_new(world: World) -> None:
    for key in "abc":
        await world.queue(key, 2)
    assert await world.turns(2) == "ab"
    await world.kit.advance("25h")
    await world.kit.engine.clean()
    assert await world.turns(3) == "cab", "c's began before; the others are equals, so that age decides"


async def test_queues_are_lanes_too(world: World) -> None:
    crowd = [await world.kit.trigger("job") for _ in range(5)]
    other = await world.kit.trigger("child")
    assert await world.started(2) == [crowd[0], other]


async def test_priority_and_age_decide_within_a_lane_only(world: World) -> None:
    old, older = await world.queue("crowd", 2)
    (urgent,) = await world.queue("crowd", priority=100)
    (calm,) = await world.queue("calm", priority=-100)
    assert await world.started(4) == [urgent, calm, old, older]


async def test_a_woken_run_is_the_next_of_its_lane_not_of_all(world: World) -> None:
    (woken, other) = await world.queue("crowd", 2)
    assert await world.started(1) == [woken]
    await world.worker.wait_parked(woken, ms=HOUR)
    world.worker.heard()
    await world.worker.ok(other)
    world.worker.room["async"] = 0
    await world.queue("crowd", 1)
    (late,) = await world.queue("late")
    await world.kit.advance("1h")
    assert await world.started(1) == [late]
    await world.worker.ok(late)
    assert await world.kit.status(woken) is Status.EXECUTING


async def test_what_a_lane_may_not_have_goes_to_the_others(world: World) -> None:
    narrow = await world.queue("a", 10, "narrow")
    wide = await world.queue("b", 30)
    started = await world.started(20)
    assert Counter(run in narrow for run in started) == {True: 2, False: 18}
    assert set(started) == {*narrow[:2], *wide[:18]}


async def test_lanes_of_all_depths_are_emptied_as_far_as_there_is_room(world: World) -> None:
    depths = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55]
    runs = [await world.queue(f"k{depth}-{n}", depth) for n, depth in enumerate(depths)]
    given = set(await world.started(60))
    taken = [len(given.intersection(lane)) for lane in runs]
    assert taken == [1, 1, 2, 3, 5, 8, 10, 10, 10, 10]
    assert all(given.issuperset(lane[:count]) for lane, count in zip(runs, taken, strict=True))
