"""`trigger db backup` as a command."""

import json
from pathlib import Path

import pytest

from tests.cli.support import RunCli
from tests.store.test_backup import filled
from triggerdev.engine.store.sqlfile import migrations


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".trigger").mkdir()
    (tmp_path / "trigger.config.toml").write_text('project = "p"\n')
    filled(tmp_path / ".trigger" / "engine.db")
    return tmp_path


def test_the_copy_has_a_name_of_its_own_and_is_described(project: Path, cli: RunCli) -> None:
    done = cli("db", "backup")
    assert (done.code, "50 runs" in done.err) == (0, True)
    made = Path(done.out.strip())
    assert made.is_relative_to(project / ".trigger" / "backups")
    described = json.loads(cli("db", "backup", "copy.db", "--json").out)
    assert described == {
        "path": "copy.db",
        "bytes": (project / "copy.db").stat().st_size,
        "runs": 50,
        "schema": max(migrations("sqlite")),
    }


def test_an_existing_file_is_kept(project: Path, cli: RunCli) -> None:
    (project / "copy.db").write_text("mine")
    done = cli("db", "backup", "copy.db")
    assert (done.code, "--force" in done.err) == (2, True)
    assert cli("db", "backup", "copy.db", "--force").code == 0


def test_postgresql_has_tools_of_its_own(project: Path, cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_DATABASE_URL", "postgresql://u:secret@localhost/x")
    done = cli("db", "backup")
    assert (done.code, "pg_dump" in done.err, "secret" in done.err) == (2, True, False)


def test_without_a_database_it_says_so(tmp_path: Path, cli: RunCli) -> None:
    (tmp_path / "trigger.config.toml").write_text('project = "p"\n')
    done = cli("db", "backup")
    assert (done.code, "no database at" in done.err) == (1, True)
