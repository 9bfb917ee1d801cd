"""Hooks, init functions and hidden tasks in the processes of a real `trigger dev`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.dev.kit import Api, start

pytestmark = pytest.mark.asyncio(loop_scope="module")
INIT = """
import os
from pathlib import Path
from triggerdev import locals, tasks

LEDGER = Path(__file__).parents[1] / "ledger"
NAME = locals.create("name")

def note(text):
    with LEDGER.open("a") as ledger:
        ledger.write(f"{text}\\n")

@tasks.init
async def connect():
    note(f"init {os.getpid()}")
    return {"pid": os.getpid()}

@tasks.middleware("name")
async def named(ctx, next):
    locals.set(NAME, ctx.run.id)
    try:
        await next()
    finally:
        note(f"closed {ctx.run.id} {locals.get(NAME)}")
"""
TASKS = """
import asyncio
import os
from trigger.init import NAME, note
from triggerdev import locals, task, wait

@task
async def coroutine(init, ctx):
    await asyncio.sleep(0.05)
    await wait.for_(seconds=0.1)
    return [init["pid"] == os.getpid(), locals.get(NAME) == ctx.run.id, os.getpid()]

@task
def plain(init, ctx):
    wait.sync.for_(seconds=0.1)
    return [init["pid"] == os.getpid(), locals.get(NAME) == ctx.run.id, os.getpid()]

def make(name):
    @task(id=name)
    async def hidden(payload):
        return f"{name} {payload}"
    return hidden

_HIDDEN = {name: make(name) for name in ("in-a-closure", "in-another")}

@task(id="face")
async def face():
    return [await hidden.trigger_and_wait(1).unwrap() for hidden in _HIDDEN.values()]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "trigger").mkdir()
    (folder / "trigger.config.toml").write_text('project = "p"\n')
    (folder / "trigger" / "init.py").write_text(INIT)
    (folder / "trigger" / "a_task.py").write_text(TASKS)  # before "init" by its name
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(project: Path) -> AsyncIterator[Api]:
    async with start(project) as dev:
        yield dev.api()


async def test_init_is_called_once_in_each_process_and_locals_are_each_runs_own(
    api: Api, project: Path
) -> None:
    outputs: list[Any] = await asyncio.gather(
        *(api.output(name) for name in ["coroutine"] * 20 + ["plain"] * 4)
    )
    assert {(is_here, is_own) for is_here, is_own, _ in outputs} == {(True, True)}
    lines = (project / "ledger").read_text().splitlines()
    inits = [line for line in lines if line.startswith("init ")]
    assert sorted(inits) == sorted({f"init {pid}" for _, _, pid in outputs})
    closed = [line.split()[1:] for line in lines if line.startswith("closed ")]
    assert len(closed) == 24
    assert all(run == kept for run, kept in closed)


async def test_hidden_tasks_are_triggered(api: Api) -> None:
    assert await api.output("face") == ["in-a-closure 1", "in-another 1"]
    assert await api.output("in-another", "directly") == "in-another directly"
