"""Metadata under `trigger dev`: seen while a task is busy, exact under many writers, at most 256 KB."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.dev.kit import Api, start

pytestmark = pytest.mark.asyncio(loop_scope="module")
TASKS = """
import asyncio
import time
from pathlib import Path
from triggerdev import metadata, task

@task
def busy(payload):
    for n in range(10**9):
        metadata.set("n", n)
        if Path(payload).exists():
            return n

@task
async def sleepy(payload):
    n = 0
    while not Path(payload).exists():
        n += 1
        metadata.set("n", n)
        await asyncio.sleep(0.01)
    return n

@task
async def leaf():
    metadata.parent.increment("leaves").append("$.log.leaves", "x")
    metadata.root.increment("leaves", 2)

@task
def plain_leaf():
    metadata.parent.increment("leaves").append("$.log.leaves", "x")
    metadata.root.increment("leaves", 2)

@task
async def middle(payload):
    metadata.increment("leaves", 1000)
    await leaf.batch_trigger_and_wait([{} for _ in range(payload)])
    await plain_leaf.batch_trigger_and_wait([{} for _ in range(payload // 10)])
    return metadata.current()

@task
async def root(payload):
    metadata.set("leaves", 0)
    results = [middle.trigger_and_wait(n) for n in payload]
    outputs = [result.unwrap() for result in await asyncio.gather(*results)]
    return [metadata.current(), outputs]

@task
async def greedy_child():
    metadata.parent.set("large", "x" * 200_000)
    metadata.set("own", 1)

@task
async def full():
    metadata.set("mine", "x" * 100_000)
    await greedy_child.trigger_and_wait()
    return metadata.get("large")
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    project = tmp_path_factory.mktemp("project")
    (project / "trigger").mkdir()
    (project / "trigger.config.toml").write_text('project = "p"\n')
    (project / "trigger" / "tasks.py").write_text(TASKS)
    async with start(project) as dev:
        yield dev.api()


@pytest.mark.parametrize("task", ["busy", "sleepy"])
async def test_changes_are_seen_within_about_a_second(api: Api, tmp_path: Path, task: str) -> None:
    end = tmp_path / "end"
    run_id = await api.trigger(task, str(end))
    seen: list[tuple[float, int]] = []

    def note(run: Any) -> bool:
        n = (run.get("metadata") or {}).get("n")
        if n is not None and (not seen or seen[-1][1] != n):
            seen.append((time.monotonic(), n))
        return len(seen) >= 4

    await api.until(run_id, note)
    end.touch()
    run = await api.result(run_id)
    assert run["metadata"]["n"] == run["output"]
    pauses = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(seen)]
    assert [n for _, n in seen] == sorted(n for _, n in seen)
    assert min(pauses) < 2, pauses  # a busy machine may be late, but not each time
    assert min(pauses[1:]) > 0.5, pauses  # changes wait for others


async def test_two_hundred_children_add_up_exactly(api: Api) -> None:
    counts = [60, 60, 60]  # and 18 plain functions, which have processes of their own
    of_root, of_middles = await api.output("root", counts)
    assert of_root["leaves"] == 2 * 198
    for output in of_middles:
        assert (output["leaves"], len(output["log"]["leaves"])) == (1066, 66)


async def test_what_a_full_parent_refuses_is_said_by_the_child(api: Api) -> None:
    run = await api.result(await api.trigger("full"))
    assert (run["status"], run.get("output")) == ("COMPLETED", None)
    (child,) = run["relatedRuns"]["children"]
    assert child["metadata"] == {"own": 1}
    events: list[Any] = []
    async with asyncio.timeout(20):
        while not events:
            events = (await api.call("GET", f"/api/v1/runs/{child['id']}/events?wait=5"))["events"]
    assert "change of metadata was refused" in events[0]["message"]
    assert "262144 are allowed" in events[0]["message"]
