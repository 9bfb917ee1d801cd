"""Several servers on one database: everything happens once, and whoever waits hears of it."""

import asyncio
from collections import Counter

from tests.engine.kit import DAY, HOUR, MINUTE, SECOND, EngineKit, item, task
from tests.postgres.busy import BusyWorker, Ledger
from triggerdev.engine import sharing
from triggerdev.engine.model import ScheduleOptions, Status
from triggerdev.server.subscriptions import Subscriptions, Tagged

Pair = tuple[EngineKit, EngineKit]


async def without_room(*kits: EngineKit) -> None:
    """Let the kits' own workers take no more runs, nor those that are being given out right now."""
    for kit in kits:
        kit.worker.room.update({"async": 0, "sync": 0})
        await kit.settled()


async def test_each_run_is_given_out_once(pair: Pair) -> None:
    await without_room(*pair)
    ledger = Ledger()
    for kit, name in zip(pair, ("busy-a", "busy-b"), strict=True):
        BusyWorker(kit.engine, name, ledger, room=7)
    runs = await asyncio.gather(*(kit.trigger() for _ in range(150) for kit in pair))
    await ledger.all_finished(300)
    assert ledger.started == Counter(runs) == ledger.finished
    assert set(ledger.by_worker) == {"busy-a", "busy-b"}
    assert pair[0].query("SELECT DISTINCT status FROM runs") == [("COMPLETED_SUCCESSFULLY",)]


async def test_a_concurrency_limit_holds_over_all_servers(pair: Pair) -> None:
    await without_room(*pair)
    ledger = Ledger()
    for kit, name in zip(pair, ("busy-a", "busy-b"), strict=True):
        BusyWorker(kit.engine, name, ledger, room=10, turns=20)
    await asyncio.gather(*(kit.trigger("narrow") for _ in range(60) for kit in pair))
    await ledger.all_finished(120)
    assert ledger.most_executing == 3
    assert max(ledger.started.values()) == 1


async def test_each_slot_of_a_schedule_makes_one_run(pair: Pair) -> None:
    await without_room(*pair)
    for _ in range(40):
        pair[0].clock.advance(MINUTE)
        await asyncio.gather(*(kit.engine.tick() for kit in pair))
    payloads = [text for (text,) in pair[0].query("SELECT payload FROM runs WHERE task = 'every-minute'")]
    assert len(payloads) == len(set(payloads)) == 40


async def test_one_deduplication_key_gives_one_schedule_and_its_slots_one_run(pair: Pair) -> None:
    await without_room(*pair)
    options = ScheduleOptions("every-minute", "*/2 * * * *", deduplication_key="k", external_id="ada")
    made = await asyncio.gather(*(kit.engine.schedules.create(options) for _ in range(20) for kit in pair))
    assert len({schedule.id for schedule in made}) == 1
    for _ in range(20):
        pair[0].clock.advance(MINUTE)
        await asyncio.gather(*(kit.engine.tick() for kit in pair))
    rows = pair[0].query("SELECT payload FROM runs WHERE schedule_id = %s", made[0].id)
    assert len(rows) == len(set(rows)) == 10


async def test_a_slot_is_left_to_the_server_that_knows_its_task(pair: Pair) -> None:
    old, new = pair
    await without_room(*pair)
    await new.activate(*new.tasks, task("report", scheduled=True))
    await new.engine.schedules.create(ScheduleOptions("report", "* * * * *"))
    old.clock.advance(MINUTE)
    await old.engine.tick()
    assert old.query("SELECT count(*) FROM runs WHERE task = 'report'") == [(0,)]
    await new.engine.tick()
    assert old.query("SELECT count(*) FROM runs WHERE task = 'report'") == [(1,)]


async def test_what_is_due_happens_once(pair: Pair) -> None:
    first, second = pair
    await without_room(second)  # it may be faster than the first, if the claim is in another commit
    waiting = [await first.start() for _ in range(5)]
    for run in waiting:
        await first.worker.wait_parked(run, ms=HOUR)
    delayed = [await second.trigger("job", None, delay="1h") for _ in range(20)]
    await without_room(first)
    first.clock.advance(HOUR)
    await asyncio.gather(*(kit.engine.tick() for kit in pair))
    for kit in pair:
        await kit.settled()
    queued = Counter(event.run for kit in pair for event in kit.events if event.kind == "queued")
    assert [queued[run] for run in delayed] == [1] * 20
    assert first.query("SELECT count(*) FROM runs WHERE resuming AND ready") == [(5,)]


async def test_a_long_poll_sees_what_happens_on_the_other_server(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    run = await first.start()
    rev = (await second.run(run)).rev
    loop = asyncio.get_running_loop()
    began = loop.time()
    polling = asyncio.create_task(second.engine.wait_run(run, since_rev=rev, timeout=30))
    await second.settled()
    await first.worker.ok(run)
    assert (await polling).run.status is Status.COMPLETED
    assert loop.time() - began < sharing.LOOK_AGAIN_SECONDS


async def test_who_follows_runs_hears_of_those_of_the_other_server(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    followed = Tagged(("vip",), first.clock.now())
    subscription, runs = await Subscriptions().begin(second.engine, "key", followed)
    assert runs == []
    run = await first.start("job", None, tags=["vip"])
    seen: list[Status] = []
    while Status.COMPLETED not in seen:
        news = await subscription.changes(second.engine, subscription.offset, 30)
        assert [each.id for each in news] == [run]
        seen += [each.status for each in news]
        if Status.EXECUTING in seen and Status.COMPLETED not in seen:
            await first.worker.ok(run)


async def test_one_debounce_key_gives_one_run(pair: Pair) -> None:
    debounce = {"key": "k", "delay": "1m", "mode": "trailing"}
    runs = await asyncio.gather(
        *(kit.trigger("job", n, debounce=debounce) for n in range(50) for kit in pair)
    )
    assert len(set(runs)) == 1
    assert pair[0].query("SELECT count(*) FROM runs") == [(1,)]


async def test_a_run_triggered_on_a_server_without_workers_starts_on_the_other(pair: Pair) -> None:
    first, second = pair
    await without_room(first)
    run = await first.trigger()
    assert (await second.worker.started(run))["id"] == run


async def test_the_end_of_a_child_reaches_its_parent_on_the_other_server(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    parent = await first.start()
    await without_room(first)
    second.worker.room["async"] = 1
    assert (await first.worker.op(parent, "0:0", "trigger_and_wait", "child", options={})).get("pending")
    (child,) = (run for (run,) in first.query("SELECT id FROM runs WHERE parent_id = ?", parent))
    await second.worker.started(child)
    await second.worker.ok(child, 42)
    message = await first.worker.next("op_done", parent)
    assert (message["op"], message["result"]["output"]) == ("0:0", "42")
    assert first.query("SELECT count(*) FROM mail") == [(0,)]


async def test_a_cancellation_reaches_the_worker_on_the_other_server(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    run = await first.start()
    await second.engine.cancel_run(run)
    assert (await first.worker.next("cancel", run))["token"] == first.worker.tokens[run]


async def test_one_idempotency_key_gives_one_run(pair: Pair) -> None:
    await without_room(*pair)
    calls = [
        kit.engine.trigger(item("job", None, idempotencyKey=f"key-{n % 10}"))
        for n in range(100)
        for kit in pair
    ]
    results = await asyncio.gather(*calls)
    assert len({result.id for result in results}) == 10
    assert sum(not result.is_cached for result in results) == 10
    assert pair[0].query("SELECT count(*) FROM runs") == [(10,)]


async def test_one_name_gives_one_token_and_one_batch(pair: Pair) -> None:
    tokens = [kit.engine.tokens.create(idempotency_key=f"name-{n % 5}") for n in range(20) for kit in pair]
    batches = [
        kit.engine.create_batch(run_count=1, idempotency_key=f"name-{n % 5}")
        for n in range(20)
        for kit in pair
    ]
    assert len({made.id for made in await asyncio.gather(*tokens)}) == 5
    assert len({made.id for made in await asyncio.gather(*batches)}) == 5


async def test_a_batch_counts_the_runs_that_end_on_either_server(pair: Pair) -> None:
    await without_room(*pair)
    first, second = pair
    made = await first.engine.create_batch(run_count=100)
    ledger = Ledger()
    BusyWorker(first.engine, "busy-a", ledger, room=5)
    BusyWorker(second.engine, "busy-b", ledger, room=5)
    await second.engine.add_batch_items(made.id, [item("job", n, index=n) for n in range(100)])
    await ledger.all_finished(100)
    batch = await second.batch(made.id)
    assert (batch.status, batch.remaining) == ("COMPLETED", 0)


async def test_a_server_that_starts_leaves_the_runs_of_others_alone(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    run = await first.start()
    await second.restart()
    await second.settled()
    assert second.worker.heard("start") == []
    await first.worker.ok(run)
    assert await second.status(run) is Status.COMPLETED


async def test_the_runs_of_a_server_that_died_go_on_elsewhere_when_its_lease_is_over(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    run = await first.start()
    await first.close()  # before it has ever swept
    second.worker.room["async"] = 1
    first.clock.advance(30 * DAY - SECOND)
    await second.engine.sweep()
    await second.settled()
    assert second.worker.heard("start") == []
    first.clock.advance(2 * SECOND)
    await second.engine.sweep()
    started = await second.worker.started(run)
    assert (started["resumed"], started["attempt"], started["token"]) == (True, 1, 2)
    await first.open()
