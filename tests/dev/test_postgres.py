"""`trigger dev` on PostgreSQL: which database, which name, and what is said when it cannot be used."""

import asyncio
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from tests.dev.kit import PATIENCE, Dev, clean_environment, start
from tests.reliability.database import Database

CONFIG = 'project = "p"\n'
TASKS = """
import asyncio
import os
from pathlib import Path
from triggerdev import task

@task
async def who():
    return {"pid": os.getpid(), "database": os.environ.get("TRIGGER_DATABASE_URL")}

@task
async def stays(payload):
    while not Path(payload).exists():
        await asyncio.sleep(0.01)
    return os.getpid()
"""
KEY = "tr_dev_" + "k" * 32


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """An empty database on the server that the tests share."""
    database = Database("postgres", tmp_path)
    yield database.url
    database.drop()


def project(folder: Path) -> Path:
    (folder / "trigger").mkdir(parents=True)
    (folder / "trigger.config.toml").write_text(CONFIG)
    (folder / "trigger" / "tasks.py").write_text(TASKS)
    return folder


def ended(
    folder: Path, env: dict[str, str], command: tuple[str, ...] = ("-m", "triggerdev")
) -> subprocess.CompletedProcess[str]:
    """Run `trigger dev` where it is expected to end by itself."""
    return subprocess.run(
        [sys.executable, *command, "dev", str(folder), "--port", "0"],
        env=clean_environment(env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def said(dev: Dev) -> str:
    return f"{dev.lines}{dev.errors}"


def query(url: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


async def test_runs_are_in_the_database_and_its_url_is_nowhere_else(tmp_path: Path, url: str) -> None:
    folder = project(tmp_path / "p")
    password = conninfo.conninfo_to_dict(url)["password"]
    async with start(folder, env={"TRIGGER_DATABASE_URL": url}) as dev:
        run = await dev.api().output("who")
        assert run["database"] is None
        assert url.encode() not in Path(f"/proc/{run['pid']}/environ").read_bytes()
        assert (
            dev.lines[0]["database"] == f"PostgreSQL at {url.rpartition('@')[2].replace('/', ', database ')}"
        )
        assert query(url, "SELECT status FROM triggerdev.runs") == [("COMPLETED_SUCCESSFULLY",)]
        assert str(password) not in said(dev)
    assert not (folder / ".trigger" / "engine.db").exists()


async def test_an_env_file_names_the_database_for_server_and_tasks(tmp_path: Path, url: str) -> None:
    folder = project(tmp_path / "p")
    (folder / ".env").write_text(f"TRIGGER_DATABASE_URL={url}\n")
    async with start(folder) as dev:
        assert (await dev.api().output("who"))["database"] == url
        assert query(url, "SELECT count(*) FROM triggerdev.runs") == [(1,)]


async def test_a_database_that_is_named_later_counts_from_the_next_start(tmp_path: Path, url: str) -> None:
    folder = project(tmp_path / "p")
    (folder / ".env").write_text("X=1\n")
    async with start(folder) as dev:
        (folder / ".env").write_text(f"TRIGGER_DATABASE_URL={url}\n")
        await dev.line("warning", lambda line: "counts from the next start" in line["text"])
        await dev.line("reloaded")
        await dev.api().output("who")
    assert query(url, "SELECT to_regclass('triggerdev.runs')") == [(None,)]


async def test_the_worker_keeps_its_name_and_a_copy_has_another(tmp_path: Path, url: str) -> None:
    env = {"TRIGGER_DATABASE_URL": url, "TRIGGER_SECRET_KEY": KEY}
    first = project(tmp_path / "first")
    for _ in range(2):
        async with start(first, env=env) as dev:
            await dev.api().output("who")
    assert len(query(url, "SELECT DISTINCT worker FROM triggerdev.runs")) == 1
    second = tmp_path / "second"
    shutil.copytree(first, second)
    async with start(first, env=env) as one, start(second, env=env) as other:
        names = query(url, "SELECT id FROM triggerdev.workers")
        assert len(names) == 2
        run = await one.api().trigger("who")
        assert (await other.api().result(run))["status"] == "COMPLETED"


async def test_a_second_server_in_the_folder_is_refused(tmp_path: Path, url: str) -> None:
    folder = project(tmp_path / "p")
    async with start(folder, env={"TRIGGER_DATABASE_URL": url}) as dev:
        for env in ({"TRIGGER_DATABASE_URL": url}, {}):
            second = await asyncio.to_thread(ended, folder, env)
            assert second.returncode == 1
            assert f"Process {dev.process.pid} already runs" in second.stderr
            assert "Traceback" not in second.stderr


async def test_one_that_was_killed_holds_nothing(tmp_path: Path, url: str) -> None:
    folder = project(tmp_path / "p")
    env = {"TRIGGER_DATABASE_URL": url}
    async with start(folder, env=env) as dev:
        await dev.kill()
    async with start(folder, env=env) as dev:
        await dev.api().output("who")


async def test_what_executes_when_a_server_is_stopped_goes_on_at_another_at_once(
    tmp_path: Path, url: str
) -> None:
    env = {"TRIGGER_DATABASE_URL": url, "TRIGGER_SECRET_KEY": KEY}
    async with start(project(tmp_path / "first"), env=env) as first:
        run = await first.api().trigger("stays", str(tmp_path / "go"))
        await first.line("run", lambda line: line["run"] == run and line["event"] == "started")
        async with start(project(tmp_path / "second"), env=env) as second:
            stopped_at = time.monotonic()
            await first.stop()
            await second.line("run", lambda line: line["run"] == run and line["event"] == "resumed")
            assert time.monotonic() - stopped_at < 20  # the lease would have lasted for 30 s
            (tmp_path / "go").touch()
            assert (await second.api().result(run))["output"] in second.pids()


def test_a_wrong_password_is_said_without_showing_it(tmp_path: Path, url: str) -> None:
    wrong = re.sub(r":[0-9a-f]+@", ":s3cret-and-wrong@", url)
    result = ended(project(tmp_path / "p"), {"TRIGGER_DATABASE_URL": wrong})
    assert result.returncode == 5
    assert "password authentication failed" in result.stderr
    assert "s3cret" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        result = ended(project(tmp_path / "p"), {"TRIGGER_DATABASE_URL": f"postgresql://u:s3cret@{place}/d"})
    assert result.returncode == 5
    assert f"PostgreSQL at {place}, database d cannot be reached" in result.stderr
    assert "s3cret" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [("mysql://u:s3cret@h/d", "must be postgresql://"), ("postgresql://u:s3%ret@h/d", "no Postg")],
)
def test_a_url_that_cannot_be_used(tmp_path: Path, url: str, words: str) -> None:
    result = ended(project(tmp_path / "p"), {"TRIGGER_DATABASE_URL": url})
    assert result.returncode == 2
    assert words in result.stderr
    assert "s3" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_a_missing_driver_is_named(tmp_path: Path) -> None:
    program = "import sys; sys.modules['psycopg'] = None; from triggerdev.cli.main import run; run()"
    env = {"TRIGGER_DATABASE_URL": "postgresql://h/d"}
    result = ended(project(tmp_path / "p"), env, ("-c", program))
    assert result.returncode == 2
    assert "pip install 'triggerdev[postgres]'" in result.stderr
    assert "Traceback" not in result.stderr
