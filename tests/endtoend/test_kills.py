"""kill -9 of everything, at any moment, under load: nothing is lost, nothing happens twice."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.dev.kit import Api, Dev, Line, gone, start
from tests.endtoend.conftest import Project, happened
from triggerdev.worker import processes

LOAD = """
LONG = Retry(max_attempts=20, factor=1, min_timeout_in_ms=10, max_timeout_in_ms=20)

@task(id="child", retry=LONG)
async def child(payload: int):
    await asyncio.sleep(0.01)
    metadata.parent.increment("children", 1)
    return payload * 2

@task(id="child-sync", retry=LONG)
def child_sync(payload: int):
    time.sleep(0.01)
    return payload * 2

@task(id="tree", retry=LONG)
async def tree(payload: int):
    one, two = await asyncio.gather(child.trigger_and_wait(payload), child_sync.trigger_and_wait(payload))
    batch = await child.batch_trigger_and_wait([{"payload": payload + n} for n in range(3)])
    await child_sync.trigger(payload)
    return [one.unwrap(), two.unwrap(), *(each.unwrap() for each in batch)]

@task(id="tree-sync", retry=LONG)
def tree_sync(payload: int):
    one = child.sync.trigger_and_wait(payload).unwrap()
    two = child_sync.sync.trigger_and_wait(payload).unwrap()
    batch = child.sync.batch_trigger_and_wait([{"payload": payload + n} for n in range(3)])
    child_sync.sync.trigger(payload)
    return [one, two, *(each.unwrap() for each in batch)]

@task(id="waits", retry=LONG)
async def waits(payload: int, ctx: Context):
    for number in range(2):
        note(ctx, f"wait-{number}")
        await wait.for_(seconds=0.4)
        note(ctx, f"woken-{number}")
    return payload

@task(id="waits-sync", retry=LONG)
def waits_sync(payload: int, ctx: Context):
    for number in range(2):
        note(ctx, f"wait-{number}")
        wait.sync.for_(seconds=0.4)
        note(ctx, f"woken-{number}")
    return payload

@task(id="retried", retry=LONG)
async def retried(payload: int, ctx: Context):
    await child.trigger(payload)
    if ctx.attempt.number < 3:
        raise ValueError("again")
    return payload

@task(id="token", retry=LONG)
async def token(payload: int):
    made = await wait.create_token()
    await completing.trigger({"token": made.id, "n": payload})
    return (await wait.for_token(made)).output

@task(id="completing", retry=LONG)
def completing(payload: dict):
    wait.sync.complete_token(payload["token"], payload["n"])

@task(id="limited", queue={"name": "limited", "concurrency_limit": 2}, retry=LONG)
async def limited(payload: int, ctx: Context):
    note(ctx, "enter")
    await asyncio.sleep(0.02)
    note(ctx, "leave")
    return payload

@task(id="limited-sync", queue={"name": "limited-sync", "concurrency_limit": 2}, retry=LONG)
def limited_sync(payload: int, ctx: Context):
    note(ctx, "enter")
    time.sleep(0.02)
    note(ctx, "leave")
    return payload
"""
TREE = {"child": 4, "child-sync": 2}
CHILDREN = {"tree": TREE, "tree-sync": TREE, "token": {"completing": 1}, "retried": {"child": 3}}
ATTEMPTS = {"retried": 3}
KINDS = ["tree", "tree-sync", "waits", "waits-sync", "retried", "token", "limited", "limited-sync"]


class Load:
    """Runs of all kinds, what has been seen of them, and what must hold at the end."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.runs: dict[str, tuple[str, int]] = {}
        self.lines: list[Line] = []

    async def trigger(self, api: Api, count: int) -> None:
        """Trigger so many runs of each kind."""
        for _ in range(count):
            for task in KINDS:
                payload = len(self.runs)
                self.runs[await api.trigger(task, payload + 1)] = (task, payload + 1)

    async def ends(self, api: Api) -> dict[str, Any]:
        """Wait until every run has ended as it should."""
        found = await asyncio.gather(*(api.result(run) for run in self.runs))
        ends: dict[str, Any] = {run["id"]: run for run in found}
        for run, (task, payload) in self.runs.items():
            assert ends[run]["status"] == "COMPLETED", ends[run]
            assert ends[run]["output"] == expected(task, payload), ends[run]
        return ends

    def check_children(self, ends: dict[str, Any]) -> int:
        """Each operation of an attempt has acted once; gives the number of children."""
        total = 0
        for run, (task, _) in self.runs.items():
            made = Counter(child["taskIdentifier"] for child in ends[run]["relatedRuns"].get("children", []))
            total += made.total()
            if ends[run]["attemptCount"] == ATTEMPTS.get(task, 1):
                assert made == CHILDREN.get(task, {}), (task, made)
        return total

    def check_ledger(self) -> None:
        """No wait has ended early, no limit was exceeded, no run has ended twice."""
        times: dict[tuple[str, int, str], int] = {}
        for entry in self.project.entries():
            times.setdefault((entry.run, entry.attempt, entry.what), entry.at)
        for (run, attempt, what), at in times.items():
            if what.startswith("woken"):
                assert at - times[run, attempt, what.replace("woken", "wait")] >= 0.399e9
        for name in ("limited", "limited-sync"):
            assert (
                self.project.most_at_once({run for run, (task, _) in self.runs.items() if task == name}) <= 2
            )
        ends = Counter(line["run"] for line in self.lines if is_event(line, "finished"))
        assert set(ends.values()) == {1}


def expected(task: str, payload: int) -> Any:
    """Give the output of a run."""
    if task in ("tree", "tree-sync"):
        return [2 * payload, 2 * payload, *(2 * (payload + n) for n in range(3))]
    return payload


def is_event(line: Line, event: str) -> bool:
    return bool(line["type"] == "run" and line["event"] == event)


async def test_the_engine_is_killed_at_five_moments(project: Callable[..., Project]) -> None:
    made = project(LOAD)
    load = Load(made)
    for event, count in (("queued", 10), ("started", 20), ("waiting", 15), ("resumed", 12), ("finished", 20)):
        async with start(made.root, env=made.env) as dev:
            triggering = asyncio.create_task(load.trigger(dev.api(), 3))
            await happened(dev, event, count)
            triggering.cancel()
            await asyncio.wait([triggering])
            gone(await dev.kill(), seconds=3)
            made.killed()
        load.lines += dev.lines

    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        while len(load.runs) <= 60:  # how many there were before each kill depends on the machine's speed
            await load.trigger(api, 1)
        ends = await load.ends(api)
    load.lines += dev.lines
    assert {run: end["attemptCount"] for run, end in ends.items()} == {
        run: ATTEMPTS.get(task, 1) for run, (task, _) in load.runs.items()
    }  # no attempt was used up
    assert load.check_children(ends) > 100
    load.check_ledger()


async def test_workers_are_killed_under_load(project: Callable[..., Project]) -> None:
    made = project(LOAD)
    load = Load(made)
    chance = random.Random(7)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        triggering = asyncio.create_task(load.trigger(api, 12))
        for number in range(30):
            await happened(dev, "finished", 4 * number)
            victim = chance.choice(workers(dev))
            os.kill(victim, signal.SIGKILL)
            made.killed(victim)
        await triggering
        ends = await load.ends(api)
        assert await api.output("child", 4) == 8
    load.lines += dev.lines
    load.check_children(ends)
    load.check_ledger()


def workers(dev: Dev) -> list[int]:
    """Find the worker processes: guard, template, version, worker below the main one."""
    parents = {entry.pid: entry.parent for entry in processes.list_processes() if not entry.is_zombie}

    def depth(pid: int) -> int:
        return 0 if pid == dev.process.pid else 1 + depth(parents[pid]) if pid in parents else 100

    return [pid for pid in parents if depth(pid) == 4]
