"""One run for an idempotency key, under a hundred callers at once: over HTTP, of one server and of three."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.dev.kit import Api, start
from tests.reliability.database import Database

pytestmark = pytest.mark.asyncio(loop_scope="module")
CALLERS = 100
CONFIG = 'project = "p"\n'
TASKS = """
from triggerdev import idempotency_keys, task, wait

def note(file):
    with open(file, "a") as ledger:
        ledger.write("x")

@task
async def paid(payload, ctx):
    await ctx.step("note", note, payload["ledger"])  # after the wait, it may go on at another server
    await wait.for_(seconds=1)
    return "paid"

@task
async def buying(payload):
    key = await idempotency_keys.create("one", scope="global")
    result = await paid.trigger_and_wait(payload, idempotency_key=key)
    return [result.id, result.output]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Api]]:
    """One `trigger dev` on SQLite, or three on one PostgreSQL."""
    tmp_path = tmp_path_factory.mktemp("servers")
    env, count, database = {}, 1, None
    if request.param == "postgres":
        database = Database("postgres", tmp_path)
        env, count = {"TRIGGER_DATABASE_URL": database.url}, 3
    async with AsyncExitStack() as stack:
        apis = []
        for number in range(count):
            folder = tmp_path / f"project{number}"
            (folder / "trigger").mkdir(parents=True)
            (folder / "trigger.config.toml").write_text(CONFIG)
            (folder / "trigger" / "tasks.py").write_text(TASKS)
            apis.append((await stack.enter_async_context(start(folder, env=env))).api())
        yield apis
    if database is not None:
        database.drop()


async def everywhere(servers: list[Api], path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask a hundred times at once, the servers in turn."""
    calls = [servers[n % len(servers)].call("POST", path, body) for n in range(CALLERS)]
    answers: list[dict[str, Any]] = await asyncio.gather(*calls)
    return answers


async def test_a_hundred_callers_get_one_run(servers: list[Api], tmp_path: Path) -> None:
    payload = {"ledger": str(tmp_path / "ledger")}
    for key in ("first", "second"):
        options = {"idempotencyKey": key}
        made = await everywhere(
            servers, "/api/v1/tasks/paid/trigger", {"payload": payload, "options": options}
        )
        assert len({answer["id"] for answer in made}) == 1
        assert sum(not answer["isCached"] for answer in made) == 1
        assert (await servers[-1].result(made[0]["id"]))["output"] == "paid"
    assert (tmp_path / "ledger").read_text() == "xx"


async def test_a_hundred_callers_get_one_token_and_one_batch(servers: list[Api]) -> None:
    tokens = await everywhere(servers, "/api/v1/waitpoints/tokens", {"idempotencyKey": "approval"})
    batches = await everywhere(servers, "/api/v3/batches", {"runCount": 1, "idempotencyKey": "all"})
    for answers in (tokens, batches):
        assert len({answer["id"] for answer in answers}) == 1
        assert sum(not answer["isCached"] for answer in answers) == 1


async def test_a_hundred_runs_wait_for_one_child(servers: list[Api], tmp_path: Path) -> None:
    payload = {"ledger": str(tmp_path / "ledger")}
    made = await everywhere(servers, "/api/v1/tasks/buying/trigger", {"payload": payload})
    runs = await asyncio.gather(*(servers[0].result(answer["id"]) for answer in made))
    outputs = {json.dumps(run.get("output")) for run in runs}
    assert len({run["id"] for run in runs}) == CALLERS
    assert len(outputs) == 1, outputs
    assert (tmp_path / "ledger").read_text() == "x"
