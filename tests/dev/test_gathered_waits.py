"""Ten children and three waits in one `asyncio.gather`, also when their run is lost in the middle."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.dev.kit import Api, start

TASKS = """
import asyncio
import os
from datetime import UTC, datetime, timedelta
from triggerdev import task, wait

@task
async def child(payload):
    await wait.for_(seconds=0.3 * payload)
    return payload * 10

@task
async def gathering(ctx):
    children = [child.trigger_and_wait(n) for n in range(10)]
    period = wait.for_(seconds=1)
    moment = wait.until(datetime.now(UTC) + timedelta(seconds=2))
    token = wait.for_token(f"go-{ctx.run.id}", timeout="1h")
    *results, nothing, nothing_too, approval = await asyncio.gather(*children, period, moment, token)
    assert nothing is nothing_too is None
    return [[result.unwrap() for result in results], approval.unwrap(), ctx.attempt.number]

@task
async def where():
    return os.getpid()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "trigger").mkdir()
    (tmp_path / "trigger.config.toml").write_text('project = "p"\n')
    (tmp_path / "trigger" / "tasks.py").write_text(TASKS)
    return tmp_path


async def children_of(api: Api, run_id: str, *, ended: int) -> list[Any]:
    """Wait until so many children of a run have ended; gives all of them."""
    run = await api.run(run_id)
    while True:
        children = run["relatedRuns"].get("children", [])
        if sum(child["isCompleted"] for child in children) >= ended:
            return list(children)
        run = await api.run(run_id, 1, run["rev"])


async def go(api: Api, run_id: str) -> Any:
    """Complete the token and give the run's end; every child has run once."""
    while True:
        found = await api.call("GET", f"/api/v1/waitpoints/tokens?filter[idempotencyKey]=go-{run_id}")
        if found["data"]:
            break
    path = f"/api/v1/waitpoints/tokens/{found['data'][0]['id']}/complete"
    await api.call("POST", path, {"data": {"by": "Ada"}})
    run = await api.result(run_id)
    assert run["status"] == "COMPLETED", run
    children = run["relatedRuns"]["children"]
    assert sorted(child["status"] for child in children) == ["COMPLETED"] * 10
    return run["output"]


EXPECTED = [[n * 10 for n in range(10)], {"by": "Ada"}, 1]


async def test_all_results_are_in_their_places(project: Path) -> None:
    async with start(project) as dev:
        api = dev.api()
        runs = [await api.trigger("gathering") for _ in range(3)]
        outputs = await asyncio.gather(*(go(api, run) for run in runs))
        assert outputs == [EXPECTED] * 3


async def test_the_worker_is_killed_in_the_middle(project: Path) -> None:
    async with start(project) as dev:
        api = dev.api()
        run = await api.trigger("gathering")
        before = await children_of(api, run, ended=4)
        os.kill(await api.output("where"), signal.SIGKILL)
        assert await go(api, run) == EXPECTED
        after = await children_of(api, run, ended=10)
        assert {child["id"] for child in before} <= {child["id"] for child in after}


async def test_everything_is_killed_in_the_middle(project: Path) -> None:
    async with start(project) as dev:
        api = dev.api()
        run = await api.trigger("gathering")
        before = await children_of(api, run, ended=4)
        await dev.kill()
    async with start(project) as dev:
        api = dev.api()
        assert await go(api, run) == EXPECTED
        after = await children_of(api, run, ended=10)
        assert {child["id"] for child in before} <= {child["id"] for child in after}
