"""A copy of a SQLite database that is being written to: whole, checked, or not there at all."""

import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.model.test_memory import a_run
from triggerdev import errors
from triggerdev.engine.model import RunFilter
from triggerdev.engine.store.sqlite import SqliteStore
from triggerdev.engine.store.sqlite_backup import backup

SMALL = 64 * 1024


def filled(path: Path, count: int = 50, size: int = 10) -> Path:
    """A database with so many runs, at rest."""
    store = SqliteStore(path)
    store.open()
    with store.write() as tx:
        tx.insert_runs([a_run(f"run_{n}", payload="x" * size) for n in range(count)])
    store.close()
    return path


def runs_in(path: Path) -> list[str]:
    store = SqliteStore(path)
    store.open()
    with store.read() as tx:
        found = [run.id for run in tx.list_runs(RunFilter(), 100_000, None, None)]
    store.close()
    return found


def test_a_copy_under_load_has_all_that_was_written_before_and_whole_transactions_only(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "engine.db")
    store.open()
    written, stop, begun = [0], threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            n = written[0]
            with store.write() as tx:
                tx.insert_runs([a_run(f"run_{n}_{half}", payload="x" * 2000) for half in ("a", "b")])
            written[0] += 1
            if n == 200:
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    for number in range(3):
        before = written[0]
        made = backup(store.path, tmp_path / f"copy{number}.db")
        found = runs_in(made.path)
        assert made.runs == len(found)
        assert made.runs % 2 == 0
        assert {f"run_{n}_{half}" for n in range(before) for half in ("a", "b")} <= set(found)
    stop.set()
    writer.join()
    store.close()


def test_a_copy_is_one_private_file(tmp_path: Path) -> None:
    source = filled(tmp_path / "engine.db")
    made = backup(source, tmp_path / "new" / "folder" / "copy.db")
    assert [each.name for each in made.path.parent.iterdir()] == ["copy.db"]
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert (made.runs, made.size) == (50, made.path.stat().st_size)


def test_nothing_is_overwritten_without_being_told_to(tmp_path: Path) -> None:
    source, target = filled(tmp_path / "engine.db"), tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(errors.UsageError, match=r"copy.db exists.*--force"):
        backup(source, target)
    assert target.read_text() == "mine"
    backup(source, target, force=True)
    assert len(runs_in(target)) == 50
    for wrong, why in ((tmp_path, "is a folder"), (source, "is the database itself")):
        with pytest.raises(errors.UsageError, match=why):
            backup(source, wrong, force=True)
    with pytest.raises(errors.EnvironmentProblemError, match="no database at"):
        backup(tmp_path / "none.db", tmp_path / "other.db")


def overwrite(path: Path) -> None:
    """Damage the second half of a file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size // 2))


def make_newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (overwrite, "engine.db is damaged.*operations.md"),
        (make_newer, "no database of this version .*schema 99"),
        (lambda path: path.write_bytes(b"no database" * 1000), "engine.db is damaged or no database"),
        (lambda path: path.write_bytes(b""), "no database of this version"),
    ],
)
def test_what_is_no_sound_database_gives_no_copy(
    tmp_path: Path, harm: Callable[[Path], None], why: str
) -> None:
    source = filled(tmp_path / "engine.db", 500, 1000)
    harm(source)
    before = source.read_bytes()
    with pytest.raises(errors.EnvironmentProblemError, match=why):
        backup(source, tmp_path / "copies" / "copy.db")
    assert list((tmp_path / "copies").iterdir()) == []
    assert source.read_bytes() == before


def test_a_full_disk_leaves_no_half_copy(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".trigger").mkdir(parents=True)
    (project / "trigger.config.toml").write_text('project = "p"\n')
    filled(project / ".trigger" / "engine.db", 500, 1000)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "triggerdev",
            "db",
            "backup",
            str(tmp_path / "out" / "copy.db"),
            "-c",
            str(project),
        ],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL)),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "is full: no backup was made" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert len(runs_in(project / ".trigger" / "engine.db")) == 500
