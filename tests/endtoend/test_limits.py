"""Concurrency limits under a real `trigger dev`, read from a ledger of start and end times by the tasks."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from tests.dev.kit import start
from tests.endtoend.conftest import Entry, Project, happened

LIMITED = """
from triggerdev import queue

ONE = queue("one", concurrency_limit=1)
TWO = queue("two", concurrency_limit=2)
FIVE = queue("five", concurrency_limit=5)
TENANTS = queue("tenants", concurrency_limit=2)


def limited(name, its_queue, seconds):
    @task(id=name, queue=its_queue)
    async def run(payload: str, ctx: Context):
        note(ctx, "enter:" + payload)
        await asyncio.sleep(seconds)
        note(ctx, "leave:" + payload)

    @task(id=name + "-sync", queue=its_queue)
    def run_sync(payload: str, ctx: Context):
        note(ctx, "enter:" + payload)
        time.sleep(seconds)
        note(ctx, "leave:" + payload)

    return run, run_sync


TASKS = [
    limited("one", ONE, 0.0005),
    limited("two", TWO, 0.002),
    limited("five", FIVE, 0.005),
    limited("tenant", TENANTS, 0.002),
]


@task(id="lonely", queue={"concurrency_limit": 1})
async def lonely(payload: str, ctx: Context):
    if payload == "wait":
        await wait.for_(seconds=0.2)
    note(ctx, "enter:lonely")
    note(ctx, "leave:lonely")
    return payload
"""
LIMITS = {"one": 1, "two": 2, "five": 5, "anna": 2, "bert": 2, "carl": 2}
SHARES = {"one": 300, "two": 400, "five": 700, "anna": 200, "bert": 200, "carl": 200}  # runs, sync ones too


def most_at_once(entries: Iterable[Entry]) -> dict[str, int]:
    """Count, for each lane, how many of its runs executed at the same time at most."""
    now: Counter[str] = Counter()
    most: dict[str, int] = defaultdict(int)
    steps = sorted((entry.at, entry.what.startswith("enter"), entry.what) for entry in entries)
    for _, begins, what in steps:  # of one moment, ends first
        lane = what.partition(":")[2]
        now[lane] += 1 if begins else -1
        most[lane] = max(most[lane], now[lane])
    assert not +now, f"these have begun and not ended: {+now}"
    return dict(most)


async def execute(made: Project, items: list[dict[str, object]]) -> list[Entry]:
    """Trigger items in batches and wait until all have ended; gives what they wrote."""
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        for first in range(0, len(items), 1000):
            part = items[first : first + 1000]
            batch = (await api.call("POST", "/api/v3/batches", {"runCount": len(part)}))["id"]
            lines = "\n".join(json.dumps({"index": index, **item}) for index, item in enumerate(part))
            answer = await api.http.post(f"/api/v3/batches/{batch}/items", content=lines)
            assert answer.json()["sealed"], answer.text
        ends = await happened(dev, "finished", len(items))
    assert {line["status"] for line in ends} == {"COMPLETED"}
    entries = made.entries()
    assert len(entries) == 2 * len(items), "each has begun once and ended once"
    return entries


def an_item(lane: str, number: int) -> dict[str, object]:
    is_tenant = lane not in ("one", "two", "five")
    task = ("tenant" if is_tenant else lane) + ("-sync" if number % 4 == 0 else "")
    options = {"concurrencyKey": lane} if is_tenant else {}
    return {"task": task, "payload": lane, "options": {"payloadType": "text/plain", **options}}


async def test_no_limit_is_exceeded_in_2000_runs(project: Callable[..., Project]) -> None:
    made = project(LIMITED)
    mixed = sorted((number / count, lane) for lane, count in SHARES.items() for number in range(count))
    items = [an_item(lane, number) for number, (_, lane) in enumerate(mixed)]
    entries = await execute(made, items)
    assert len({entry.run for entry in entries}) == 2000
    assert most_at_once(entries) == LIMITS, "never more, and no slot stays unused"


async def test_all_queues_together_keep_the_limit_of_the_config(project: Callable[..., Project]) -> None:
    made = project(LIMITED, config="[queues]\nconcurrency_limit = 3\n")
    items = [an_item(("five", "anna", "bert")[n % 3], n) for n in range(150)]
    entries = await execute(made, items)
    everything = [replace(entry, what=entry.what.split(":")[0] + ":all") for entry in entries]
    assert most_at_once(everything) == {"all": 3}


async def test_a_waiting_run_holds_no_slot(project: Callable[..., Project]) -> None:
    made = project(LIMITED)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        waiting = await api.trigger("lonely", "wait")
        await api.until(waiting, lambda run: run["status"] == "WAITING")
        assert await api.output("lonely", "go") == "go"
        assert (await api.result(waiting))["output"] == "wait"
    assert most_at_once(made.entries()) == {"lonely": 1}


async def test_a_paused_queue_gives_nothing_out_until_it_goes_on(project: Callable[..., Project]) -> None:
    made = project(LIMITED)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        await api.call("POST", "/api/v1/queues/one/pause", {"type": "custom", "action": "pause"})
        held = await api.trigger("one", "one")
        assert await api.output("lonely", "beside") == "beside"
        assert (await api.run(held))["status"] == "QUEUED"
        await api.call("POST", "/api/v1/queues/one/pause", {"type": "custom", "action": "resume"})
        assert (await api.result(held))["status"] == "COMPLETED"
