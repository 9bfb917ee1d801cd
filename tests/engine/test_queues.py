"""Queues: order, priority, concurrency limits and keys."""

from collections import Counter

import pytest

from tests.engine.kit import HOUR, EngineKit, Worker, item, only_sqlite, task
from triggerdev import errors
from triggerdev.engine.model import Load, Status
from triggerdev.engine.store import sqlfile

SHARED = (
    task("job", queue={"name": "shared", "concurrency_limit": 2}),
    task("plain", kind="sync", queue={"name": "shared"}),
    task("free"),
)


async def order(kit: EngineKit) -> list[str]:
    """Let the runs that are queued start one after the other; returns their ids."""
    kit.worker.room["async"] = 1
    kit.engine.pump()
    await kit.settled()
    ids = []
    while started := kit.worker.heard("start"):
        ids.append(started[0]["run"]["id"])
        await kit.worker.ok(ids[-1])
        kit.engine.pump()
        await kit.settled()
    return ids


async def executing(kit: EngineKit) -> Counter[tuple[str, str]]:
    rows = kit.query("SELECT queue, concurrency_key FROM runs WHERE status = 'EXECUTING'")
    return Counter((queue, key) for queue, key in rows)


async def test_runs_of_a_queue_start_in_the_order_of_their_trigger(kit: EngineKit) -> None:
    kit.worker.room["async"] = 0
    runs = []
    for name in ("job", "child", "job", "other", "child"):
        runs.append(await kit.trigger(name, None, queue={"name": "one-for-all", "concurrencyLimit": 100}))
        kit.clock.advance(1)
    assert await order(kit) == runs


async def test_runs_of_one_millisecond_keep_their_order(kit: EngineKit) -> None:
    kit.worker.room["async"] = 0
    runs = [await kit.trigger() for _ in range(20)]
    assert await order(kit) == runs


async def test_priority_is_a_head_start_in_seconds(kit: EngineKit) -> None:
    kit.worker.room["async"] = 0
    first = await kit.trigger()
    kit.clock.advance(5_000)
    slightly = await kit.trigger("job", None, priority=4)
    urgent = await kit.trigger("job", None, priority=6)
    late = await kit.trigger("job", None, priority=-1)
    assert await order(kit) == [urgent, first, slightly, late]


@pytest.mark.parametrize("priority", ["high", True, 1e300, -(10**12), float("nan"), float("inf")])
async def test_a_priority_that_is_no_sensible_number_is_refused(kit: EngineKit, priority: object) -> None:
    with pytest.raises(errors.InvalidOptionError, match="priority"):
        await kit.trigger("job", None, priority=priority)


async def test_a_woken_run_goes_ahead_of_every_new_one(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.wait_parked(run, ms=HOUR)
    worker.room["async"] = 0
    await kit.trigger("job", None, priority=10**9)
    await kit.advance("2h")
    worker.room["async"] = 1
    kit.engine.pump()
    await worker.next("resume", run)
    await kit.settled()
    assert worker.heard("start") == []


async def test_a_worker_gets_no_more_than_it_has_room_for(kit: EngineKit, worker: Worker) -> None:
    worker.room.update({"async": 3, "sync": 1})
    for _ in range(5):
        await kit.trigger("job")
        await kit.trigger("plain")
    await kit.settled()
    started = Counter(message["run"]["task"] for message in worker.heard("start"))
    assert started == {"job": 3, "plain": 1}


async def test_a_limit_holds_over_async_and_sync_tasks_of_one_queue(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(*SHARED)
    for _ in range(4):
        await kit.trigger("plain")
        await kit.trigger("job")
        await kit.trigger("free")
    ended = 0
    while ended < 12:
        await kit.settled()
        assert (await executing(kit))["shared", ""] <= 2
        started = worker.heard("start")
        assert started
        await worker.ok(started[0]["run"]["id"])
        worker.inbox.extend(started[1:])
        ended += 1
    assert kit.query("SELECT DISTINCT status FROM runs") == [("COMPLETED_SUCCESSFULLY",)]


async def test_each_concurrency_key_has_the_whole_limit(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", queue={"concurrency_limit": 2}))
    for key in ("anna", "bert", "anna", "bert", "anna", "bert"):
        await kit.trigger("job", None, concurrencyKey=key)
    await kit.settled()
    assert await executing(kit) == {("task/job", "anna"): 2, ("task/job", "bert"): 2}


async def test_a_limit_of_zero_lets_nothing_start(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", queue={"concurrency_limit": 0}))
    run = await kit.trigger()
    await kit.settled()
    assert await kit.status(run) is Status.PENDING
    await kit.activate(task("job"))
    await worker.started(run)


async def test_a_waiting_run_gives_its_slot_back_and_gets_it_again(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", queue={"concurrency_limit": 1}))
    first = await kit.start()
    second = await kit.trigger()
    await worker.wait_parked(first, ms=HOUR)
    await worker.started(second)
    await kit.advance("1h")
    assert await kit.status(first) is Status.PENDING
    assert worker.heard("resume") == []
    await worker.ok(second)
    await worker.next("resume", first)


async def test_a_retrying_run_holds_no_slot(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", queue={"concurrency_limit": 1}))
    first = await kit.start()
    second = await kit.trigger()
    await worker.fail(first)
    await worker.started(second)


async def test_parents_and_children_share_a_queue_of_one_without_deadlock(
    kit: EngineKit, worker: Worker
) -> None:
    queue = {"name": "one", "concurrency_limit": 1}
    await kit.activate(task("job", queue=queue), task("child", queue=queue))
    parent = await kit.start()
    child = (await worker.op(parent, "0:0", "trigger_and_wait", "child")).get("pending")
    assert child
    await worker.park(parent, "0:0")
    started = await worker.started()
    await worker.ok(started["id"])
    await worker.next("resume", parent)


async def test_a_limit_is_kept_when_runs_are_taken_over(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", queue={"concurrency_limit": 2}))
    runs = [await kit.trigger() for _ in range(4)]
    await kit.settled()
    held = worker.executing
    await worker.lost(*held)
    await kit.settled()
    assert worker.executing == held == runs[:2]
    assert (await executing(kit))["task/job", ""] == 2


async def test_the_queue_of_a_trigger_goes_before_the_task_s(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, queue={"name": "re ports!/x", "concurrencyLimit": 1})
    assert (await kit.run(run)).queue == "reports/x"
    await worker.started(run)
    second = await kit.trigger("job", None, queue="reports/x")
    await kit.settled()
    assert await kit.status(second) is Status.PENDING


async def test_a_queue_that_nobody_knows_is_refused_with_what_to_do(kit: EngineKit) -> None:
    for unknown in ("repots/x", {"name": "repots/x"}):
        with pytest.raises(
            errors.InvalidOptionError, match=r"queue: no task declares 'repots/x'.* Declare it"
        ):
            await kit.trigger("job", None, queue=unknown)
    await kit.trigger("job", None, queue="task/child")


@pytest.mark.parametrize("queue", ["!!", {"name": 3}, {"name": "q", "concurrencyLimit": -1}, ["q"],
                                   {"name": "q", "concurrencyLimit": 2**70},
                                   {"name": "q", "concurrencyLimit": True}])  # fmt: skip
async def test_a_queue_that_makes_no_sense_is_refused(kit: EngineKit, queue: object) -> None:
    with pytest.raises(errors.InvalidOptionError, match="queue"):
        await kit.trigger("job", None, queue=queue)


async def test_declared_and_requested_names_of_a_queue_agree(kit: EngineKit, worker: Worker) -> None:
    odd = task("send.mail", queue={"name": "mail queue", "concurrency_limit": 1})
    await kit.activate(odd, task("b.c"), queues=[{"name": "big one", "concurrency_limit": 1}])
    assert (await kit.run(await kit.trigger("send.mail"))).queue == "mailqueue"
    replay = (await kit.engine.replay_run(await kit.trigger("b.c"), {})).id
    assert (await kit.run(replay)).queue == (await kit.run(await kit.trigger("b.c"))).queue
    limits = dict(kit.query("SELECT name, concurrency_limit FROM queues"))
    assert (limits["mailqueue"], limits["bigone"]) == (1, 1)


async def test_several_workers_share_the_runs(kit: EngineKit, worker: Worker) -> None:
    """A worker with room for one kind only does not keep the other kind from another worker."""
    worker.room.update({"async": 5, "sync": 0})
    other = kit.connect("w2", room=0, sync_room=5)
    runs = [await kit.trigger("plain") for _ in range(3)]
    await kit.settled()
    assert other.executing == runs
    assert worker.executing == []


async def test_nothing_is_given_out_while_paused(kit: EngineKit, worker: Worker) -> None:
    kit.engine.pause()
    await kit.trigger()
    await kit.settled()
    assert worker.heard("start") == []


async def test_many_queues_and_keys_are_claimed_in_order_and_quickly(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    runs = []
    for start in range(0, 3000, 1000):
        batch = await kit.engine.create_batch(run_count=1000)
        items = [
            item("job", None, index=i, queue=f"q{(start + i) % 7}", concurrencyKey=f"k{start + i}")
            for i in range(1000)
        ]
        await kit.engine.add_batch_items(batch.id, items)
        runs += (await kit.batch(batch.id)).runs
        kit.clock.advance(1)
    worker.room["async"] = 30
    kit.engine.pump()
    await kit.settled()
    assert sorted(worker.executing) == sorted(runs[:30])


HOT = """
    ready_heads ready_of_part count_executing get_run get_runs due_runs pending_ops serve add_queue put_queue
    any_pending_ops due_ops get_op get_ops fresh_ops next_due children uncancelled_children
    batch_items batch_watchers get_key due_tokens read_logs
"""


async def test_queues_that_items_of_a_batch_bring_can_be_looked_up(kit: EngineKit) -> None:
    batch = await kit.engine.create_batch(run_count=4)
    queues = [{"name": f"new-{n % 2}", "concurrencyLimit": 5} for n in range(4)]
    items = [item("job", None, index=n, queue=queue) for n, queue in enumerate(queues)]
    await kit.engine.add_batch_items(batch.id, items)
    await kit.settled()
    assert await executing(kit) == {("new-0", ""): 2, ("new-1", ""): 2}
    found = [await kit.engine.queues.retrieve(name) for name in ("new-0", "new-1")]
    assert [(each.queue.limit, each.load) for each in found] == [(5, Load(2, 0))] * 2


@only_sqlite
async def test_no_query_of_the_hot_path_scans_a_table(kit: EngineKit) -> None:
    queries = sqlfile.load("sqlite")
    allowed = ("json_each", "heads", "subquery", "INDEX runs_ready", "INDEX runs_executing", "schedules")
    for name in HOT.split():
        count = 1 if "?1" in queries[name] else queries[name].count("?")
        plan = kit.query(f"EXPLAIN QUERY PLAN {queries[name]}", *["[]"] * count)
        scans = [row[3] for row in plan if row[3].startswith("SCAN")]
        assert not [scan for scan in scans if not any(word in scan for word in allowed)], (name, plan)
