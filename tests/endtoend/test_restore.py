"""A backup under load, a kill, and a restore elsewhere: what was accepted before the backup goes on."""

import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.dev import kit
from tests.endtoend.conftest import Project

SOURCE = """
@task
async def step(payload: dict) -> int:
    await wait.for_(seconds=payload["seconds"])
    return payload["n"]


@task
async def now(payload: dict) -> None:
    return None
"""


async def backup(project: Path, target: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "triggerdev", "db", "backup", str(target), "-c", str(project)),
        env=kit.clean_environment(),
    )
    assert await process.wait() == 0


async def test_runs_that_were_accepted_before_a_backup_go_on_from_it(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    made, copy = project(SOURCE), tmp_path / "copies" / "copy.db"
    async with kit.start(made.root, env=made.env) as dev:
        api = dev.api()
        seconds = [0, 1, 3600]
        runs = [await api.trigger("step", {"n": n, "seconds": seconds[n % 3]}) for n in range(30)]

        async def load() -> None:
            while True:
                await asyncio.gather(*(api.trigger("now") for _ in range(20)))

        loading = asyncio.create_task(load())
        await backup(made.root, copy)
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        kit.gone(await dev.kill())

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(made.root, elsewhere, ignore=shutil.ignore_patterns(".trigger"))
    (elsewhere / ".trigger").mkdir()
    shutil.copy(copy, elsewhere / ".trigger" / "engine.db")
    async with kit.start(elsewhere, env=made.env) as dev:
        api = dev.api()
        for n, run in enumerate(runs):
            if seconds[n % 3] < 3600:
                ended = await api.result(run)
                assert (ended["status"], ended["output"]) == ("COMPLETED", n)
            else:
                assert (await api.until(run, lambda run: run["status"] == "WAITING"))["id"] == run
