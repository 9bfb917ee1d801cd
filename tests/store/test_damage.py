"""Files that are no sound database of this version: told in words, with what to do, and left as they are."""

import asyncio
import logging
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Result, RunCli
from tests.engine.kit import DAY, HOUR, EngineKit, engine_kit, item
from tests.model.test_memory import a_run
from tests.store.test_backup import filled, make_newer, runs_in
from triggerdev import errors
from triggerdev.cli.main import main
from triggerdev.engine.model import RunFilter, TokenFilter
from triggerdev.engine.store import sqlfile
from triggerdev.engine.store.sqlite import SqliteStore

FLIPS = int(os.environ.get("TRIGGER_TEST_FLIPS", "30"))
SEED = int(os.environ.get("TRIGGER_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)


def make_foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS = [
    (make_newer, r"engine.db was written by a newer version of triggerdev \(schema 99.*Use that version"),
    (make_foreign, "engine.db is a database of another program. Move it away"),
    (make_folder, "engine.db is a folder.*Move the folder away"),
    (lambda path: path.write_bytes(b"\x00text" * 3000), "engine.db is damaged.*backup.*To start anew"),
]


@pytest.mark.parametrize(("harm", "why"), HARMS)
def test_what_cannot_be_used_is_told_and_left_alone(
    tmp_path: Path, cli: RunCli, harm: Callable[[Path], None], why: str
) -> None:
    (tmp_path / ".trigger").mkdir()
    (tmp_path / "trigger").mkdir()
    (tmp_path / "trigger.config.toml").write_text('project = "p"\n')
    path = filled(tmp_path / ".trigger" / "engine.db")
    harm(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(errors.EnvironmentProblemError, match=why):
        runs_in(path)
    done = cli("dev", str(tmp_path), "--port", "0", "--plain")
    assert (done.code, "Traceback" in done.out + done.err, "engine.db" in done.err) == (1, False, True)
    assert path.is_dir() or path.read_bytes() == before


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunCli]:
    """Run a command line in this process; what it adds to the log's handlers goes away."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIGGER_DATABASE_URL", raising=False)
    handlers = logging.getLogger("triggerdev").handlers
    kept = handlers[:]

    def run(*arguments: str) -> Result:
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    yield run
    handlers[:] = kept


def test_a_file_of_somebody_else_is_told_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path / "engine.db")
    path.chmod(0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may do anything
    with pytest.raises(errors.EnvironmentProblemError, match=r"engine.db cannot be .*'s, mode 400.*chown"):
        SqliteStore(path).open()


def test_a_file_of_the_first_version_is_brought_forward(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    connection = sqlite3.connect(path)
    first = sqlfile.read("sqlite", "0001_initial.sql")
    connection.executescript(f"{first} PRAGMA user_version = 1;")
    connection.close()
    store = SqliteStore(path)
    store.open()
    with store.write() as tx:
        tx.insert_runs([a_run("run_1", finished_at=5)])
        assert tx.finished("runs", 6, (0, ""), 10) == [(5, "run_1")]
    store.close()


async def full_database(folder: Path) -> Path:
    """A database with something in each table."""
    async with engine_kit(folder) as kit:
        worker = kit.worker
        for n in range(40):
            run = await kit.start("job", {"n": n, "text": "x" * 300}, tags=["a"], idempotencyKey=f"k{n}")
            line = {"run": run, "at": kit.clock.now(), "message": "hello", "data": {"n": n}}
            await worker.say({"t": "logs", "lines": [line] * 3})
            if n % 4 == 0:
                await worker.op(run, "0:0", "create_token", None, timeout_ms=HOUR)
                await worker.wait_parked(run, "0:1")
            elif n % 4 == 1:
                await worker.op(run, "0:0", "trigger", "child")
                await worker.fail(run, skip_retry=True)
            elif n % 4 == 2:
                await worker.ok(run, "y" * 300)
        batch = (await kit.engine.create_batch(run_count=2)).id
        await kit.engine.add_batch_items(batch, [item("child", 0, 0), item("nope", 0, 1)])
        await kit.trigger("other", None, delay="1h")
    return folder / "engine.db"


async def use_everything(kit: EngineKit) -> dict[str, Any]:
    """Read all that is there, and do what changes and deletes."""
    engine, seen = kit.engine, {}
    await kit.settled()
    runs = (await engine.list_runs(RunFilter(), size=200)).items
    for run in runs:
        detail = await engine.retrieve_run(run.id)
        seen[run.id] = (detail.run.status, detail.run.output, detail.run.payload, detail.run.tags)
        await engine.read_logs(run.id)
        if run.batch_id:
            await engine.retrieve_batch(run.batch_id)
    await engine.tokens.list(TokenFilter(), size=200)
    await engine.trigger(item("job", 1))
    await kit.advance("2h")
    for run in runs[:5]:
        await engine.cancel_run(run.id)
    kit.clock.advance(60 * DAY)
    await engine.clean()
    return seen


async def attempt(work: Callable[[], Awaitable[Any]]) -> tuple[str, Any]:
    """Do something; an error must be one of ours, with words for people."""
    try:
        return "served", await work()
    except errors.StorageDamagedError:
        return "detected", None
    except errors.TriggerError as error:
        return f"refused: {type(error).__name__}", None


async def test_a_flipped_byte_is_detected_or_ends_no_run_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """TRIGGER_TEST_FLIPS sets how many, TRIGGER_TEST_SEED repeats them."""
    chance, outcomes = random.Random(SEED), Counter[str]()
    (tmp_path / "sound").mkdir()
    sound = (await full_database(tmp_path / "sound")).read_bytes()
    caplog.set_level(logging.CRITICAL)
    first, whole = await opened(tmp_path, sound)
    assert first == "served"
    for number in range(FLIPS):
        content = bytearray(sound)
        content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        try:
            outcome, seen = await opened(tmp_path, bytes(content))
            if outcome == "served":
                outcome = compared(seen, whole)
        except Exception as error:
            error.add_note(
                f"flip {number} of seed {SEED}: TRIGGER_TEST_SEED={SEED} TRIGGER_TEST_FLIPS={FLIPS}"
            )
            raise
        outcomes[outcome] += 1
    print(f"{FLIPS} flips, seed {SEED}: {dict(outcomes)}")


async def opened(folder: Path, content: bytes) -> tuple[str, Any]:
    """Start an engine on a file with this content and use all of it."""
    place = folder / "flipped"
    place.mkdir()
    (place / "engine.db").write_bytes(content)

    async def work() -> Any:
        async with asyncio.timeout(60), engine_kit(place) as kit:
            return await use_everything(kit)

    try:
        return await attempt(work)
    finally:
        shutil.rmtree(place)


def compared(seen: dict[str, Any], whole: dict[str, Any]) -> str:
    """Say in what a database that was served differs; the end of a run may not.

    SQLite has no checksums: a byte may change a payload, or the entry by which a queue finds a waiting run;
    that run goes on waiting (docs/operations.md).
    """
    assert seen.keys() == whole.keys()
    ends = {run: kept[0] for run, kept in whole.items() if kept[0].is_final}
    assert {run: kept[0] for run, kept in seen.items() if kept[0].is_final} == ends
    if seen == whole:
        return "served"
    moved = any(seen[run][0] != whole[run][0] for run in whole)
    return "served, a run goes on waiting" if moved else "served with another text"
