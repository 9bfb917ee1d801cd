"""When committing goes wrong: a bad command, a full disk, a crash, two engines on one file."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from tests.engine.kit import SECOND, EngineKit, Worker, item, only_sqlite
from tests.store.backends import SqliteBackend
from triggerdev import errors
from triggerdev.engine import dispatcher
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import Status
from triggerdev.engine.store.sqlite import SqliteStore


def pragma(kit: EngineKit, text: str) -> None:
    """Set something of the writing connection, which only the store has."""
    assert isinstance(kit.store, SqliteStore)
    assert kit.store._writer is not None
    kit.store._writer.execute(f"PRAGMA {text}")


def path_of(kit: EngineKit) -> Path:
    assert isinstance(kit.backend, SqliteBackend)
    return kit.backend.path


def fill_disk(kit: EngineKit) -> None:
    """Let the database file grow no more."""
    pragma(kit, "max_page_count = 1")


def free_disk(kit: EngineKit) -> None:
    pragma(kit, "max_page_count = 1073741823")


async def until_full(kit: EngineKit) -> str:
    """Trigger until the disk is full; returns the last run that was accepted."""
    last = await kit.trigger()
    await kit.settled()
    fill_disk(kit)
    with pytest.raises(errors.StorageFullError, match="free some disk space"):
        for _ in range(200):
            last = await kit.trigger("job", "x" * 20_000)
    return last


async def test_a_bad_command_fails_alone(kit: EngineKit, worker: Worker) -> None:
    calls = [kit.engine.trigger(item("job" if n % 7 else "nope")) for n in range(50)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [result for result in results if isinstance(result, errors.UnknownTaskError)]
    assert len(refused) == 8
    assert kit.query("SELECT count(*) FROM runs") == [(42,)]


async def test_a_bad_message_fails_alone_in_its_frame(kit: EngineKit, worker: Worker) -> None:
    first, second = await kit.start(), await kit.start()
    await worker.say(
        worker.message("done", first, outcome="ok", output="1"),
        {"t": "logs", "lines": [{"run": first}]},
        worker.message("done", second, outcome="ok", output="2"),
    )
    assert await kit.status(first) is await kit.status(second) is Status.COMPLETED


@only_sqlite
async def test_messages_outlast_a_program_that_holds_the_file(
    kit: EngineKit, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatcher, "_RETRY_SECONDS", 0.01)
    pragma(kit, "busy_timeout = 1")
    done, parked, dead = [await kit.start() for _ in range(3)]
    assert (await worker.op(parked, "0:0", "wait", None, for_ms=SECOND)).get("pending")
    other = sqlite3.connect(path_of(kit), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    saying = [
        asyncio.create_task(worker.ok(done, 42)),
        asyncio.create_task(worker.park(parked, "0:0")),
        asyncio.create_task(worker.lost(dead)),
    ]
    with pytest.raises(errors.StorageUnavailableError, match="no other program may"):
        await kit.trigger()
    while "cannot be used" not in caplog.text:
        await asyncio.sleep(0)
    other.execute("COMMIT")
    await asyncio.gather(*saying)
    assert await kit.status(done) is Status.COMPLETED
    assert await kit.status(parked) is Status.WAITING
    assert (await worker.started(dead))["resumed"]


@only_sqlite
async def test_a_full_disk_refuses_triggers_and_keeps_what_it_has(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    run = await until_full(kit)
    assert await kit.status(run) is Status.PENDING
    assert kit.query("PRAGMA integrity_check") == [("ok",)]
    accepted = kit.query("SELECT count(*) FROM runs")[0][0]
    assert len(kit.events) == accepted  # of a run that was refused nobody hears
    free_disk(kit)
    again = await kit.trigger("job", "x" * 20_000)
    assert await kit.status(again) is Status.PENDING


@only_sqlite
async def test_what_a_worker_says_while_the_disk_is_full_is_applied_later(
    kit: EngineKit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()
    monkeypatch.setattr(dispatcher, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(dispatcher._log, "warning", lambda *_: refused.set())
    run = await kit.start()
    worker.room["async"] = 0
    await until_full(kit)
    saying = asyncio.ensure_future(worker.ok(run, "y" * 100_000))
    await refused.wait()
    assert await kit.status(run) is Status.EXECUTING
    free_disk(kit)
    await saying
    ended = await kit.run(run)
    assert (ended.status, len(ended.output or "")) == (Status.COMPLETED, 100_002)


@only_sqlite
async def test_what_is_due_while_the_disk_is_full_happens_later(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    run = await kit.trigger("job", None, delay="1m", ttl="1m")
    await until_full(kit)
    worker.room["async"] = 500
    for _ in range(3):
        with pytest.raises(errors.StorageFullError):
            await kit.advance("1m")
            await kit.trigger("job", "x" * 50_000)
    free_disk(kit)
    await kit.advance("1m")
    assert await kit.status(run) is not Status.DELAYED


@only_sqlite
async def test_a_second_engine_is_refused_and_told_who_holds_the_file(kit: EngineKit) -> None:
    second = Engine(SqliteStore(path_of(kit)))
    with pytest.raises(errors.AlreadyRunningError, match=f"Process {os.getpid()} .*engine.db"):
        await second.start()
    await second.stop()
    assert await kit.trigger()
    await kit.restart()  # the lock is given back


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "engine.db"
    path.write_bytes(content)
    with pytest.raises(errors.EnvironmentProblemError, match="is damaged or no database"):
        await Engine(SqliteStore(path)).start()
    assert path.read_bytes() == content
    path.unlink()
    engine = Engine(SqliteStore(path))
    await engine.start()
    await engine.stop()


@only_sqlite
async def test_a_file_of_another_schema_is_left_alone(kit: EngineKit) -> None:
    pragma(kit, "user_version = 99")
    await kit.engine.stop()
    for _ in range(2):  # the lock is given back each time
        with pytest.raises(errors.EnvironmentProblemError, match="schema 99"):
            await Engine(SqliteStore(path_of(kit))).start()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file where the folder should be")
    with pytest.raises(errors.EnvironmentProblemError, match="must exist and be writable") as caught:
        await Engine(SqliteStore(tmp_path / "full" / "engine.db")).start()
    assert not isinstance(caught.value, errors.StorageFullError)
