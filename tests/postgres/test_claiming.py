"""A claim takes a bounded number of round trips, and is not kept by the claims of others."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.kit import EngineKit, item, task
from tests.postgres.busy import BusyWorker, Ledger
from tests.store.backends import PostgresBackend
from triggerdev.engine.model import Run
from triggerdev.engine.store.claiming import MOST_ROUNDS
from triggerdev.engine.store.postgres_tx import PostgresTx
from triggerdev.engine.store.protocol import Capacity, Ready, Tx

LANES = 400
TASKS = (
    task("job", queue={"name": "wide"}),
    task("narrow", queue={"name": "narrow", "concurrency_limit": 1}),
)


class Counting:
    """A connection that counts how often it is waited for."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._in_pipeline = False
        self.trips = 0

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        self.trips += not self._in_pipeline
        return self._connection.execute(*args, **kwargs)

    def pipeline(self) -> "Counting":
        return self

    def __enter__(self) -> None:
        self._pipeline = self._connection.pipeline()
        self._pipeline.__enter__()
        self._in_pipeline = True

    def __exit__(self, *error: Any) -> None:
        self.trips += 1
        self._in_pipeline = False
        self._pipeline.__exit__(*error)


@pytest.fixture
async def crowded(database: PostgresBackend) -> Any:
    """An engine with ready runs in many lanes of depths that differ, in queues with and without limits."""
    kit = EngineKit(database, TASKS, (), 0)
    kit.room = 0
    await kit.open()
    batch = await kit.engine.create_batch(run_count=2 * LANES)
    items = [
        item(name, None, index=2 * n + is_narrow, concurrencyKey=f"k{n % (1 + n // 2)}")
        for n in range(LANES)
        for is_narrow, name in enumerate(("job", "narrow"))
    ]
    await kit.engine.add_batch_items(batch.id, items)
    yield kit
    await kit.close()


@contextlib.contextmanager
def beside(kit: EngineKit) -> Iterator[Tx]:
    """Open a transaction of another server."""
    store = kit.backend.make()
    store.open()
    try:
        with store.write() as tx:
            yield tx
    finally:
        store.close()


def claimed(kit: EngineKit, room: int) -> tuple[list[Run], int]:
    """Choose runs to claim; gives them and how many round trips it took."""
    with beside(kit) as tx:
        assert isinstance(tx, PostgresTx)
        connection = Counting(tx._db)
        tx._db = connection  # type: ignore[assignment]  # stands for the connection
        capacities = [Capacity(["job", "narrow"], room), Capacity(["nothing-of-this"], room)]
        ready = tx.ready_runs(capacities, None)
        assert not ready.is_cut
        return ready.runs, connection.trips


async def test_a_claim_takes_few_round_trips_however_many_lanes_there_are(crowded: EngineKit) -> None:
    for room, most in ((1, 3), (100, 5), (2 * LANES, 12)):
        runs, trips = await asyncio.to_thread(claimed, crowded, room)
        assert trips <= most < 2 * MOST_ROUNDS
        assert len(runs) == room or room == 2 * LANES
    lanes = {(run.queue, run.concurrency_key) for run in runs if run.task == "narrow"}
    assert len([run for run in runs if run.task == "narrow"]) == len(lanes), "one for each key"


async def test_who_finds_a_limited_queue_held_passes_it_over_and_says_so(crowded: EngineKit) -> None:
    def while_another_claims() -> tuple[Ready, Ready]:
        with beside(crowded) as first, beside(crowded) as second:
            first.ready_runs([Capacity(["narrow"], 1)], None)
            free = second.ready_runs([Capacity(["job", "narrow"], 2 * LANES)], None)
            first.ready_runs([Capacity(["job"], 1)], 5)
            return free, second.ready_runs([Capacity(["job"], 1)], 5)

    free, bounded = await asyncio.to_thread(while_another_claims)
    assert free.is_cut
    assert {run.task for run in free.runs} == {"job"}
    assert (bounded.runs, bounded.is_cut) == ([], True), "the limit of all is counted by one at a time"


async def test_the_limit_of_all_holds_over_all_servers(database: PostgresBackend) -> None:
    pair = EngineKit(database, TASKS, (), 1), EngineKit(database, TASKS, (), 1000)
    ledger = Ledger()
    for kit, name in zip(pair, ("wa", "wb"), strict=True):
        kit.worker_name, kit.room, kit.concurrency_limit = name, 0, 4
        await kit.open()
        BusyWorker(kit.engine, f"busy-{name}", ledger, room=10, turns=100)
    runs = await asyncio.gather(*(kit.trigger(concurrencyKey=f"k{n % 7}") for n in range(60) for kit in pair))
    await ledger.all_finished(len(runs))
    assert ledger.most_executing == 4
    assert set(ledger.by_worker) == {"busy-wa", "busy-wb"}
    for kit in pair:
        await kit.close()
