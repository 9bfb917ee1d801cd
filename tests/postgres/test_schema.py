"""Migrations and URLs."""

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.store.backends import PostgresBackend
from triggerdev import errors
from triggerdev.cli.main import main
from triggerdev.engine.store import open_store, postgres, postgres_migrations
from triggerdev.engine.store.sqlite import SqliteStore

SCHEMA = "triggerdev_test_schema"


@pytest.fixture
def fresh(database: PostgresBackend) -> Iterator[PostgresBackend]:
    """A database without the schema `SCHEMA`."""
    database._reader.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())
    yield database
    database._reader.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())


def test_many_servers_that_start_at_once_migrate_once(fresh: PostgresBackend) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(postgres.migrate, fresh.url, schema=SCHEMA) for _ in range(8)]
        answers = [call.result() for call in calls]
    newest = max(postgres_migrations.available())
    assert {version for version, _ in answers} == {newest}
    assert sorted(len(applied) for _, applied in answers) == [0] * 7 + [newest]


def test_a_newer_schema_is_refused_and_left_alone(fresh: PostgresBackend) -> None:
    postgres.migrate(fresh.url, schema=SCHEMA)
    fresh.query(f"INSERT INTO {SCHEMA}.migrations (version) VALUES (999) RETURNING version")
    for call in (
        lambda: postgres.migrate(fresh.url, schema=SCHEMA),
        postgres.PostgresStore(fresh.url, schema=SCHEMA).open,
    ):
        with pytest.raises(errors.EnvironmentProblemError, match="schema 999"):
            call()
    assert fresh.query(f"SELECT max(version) FROM {SCHEMA}.migrations") == [(999,)]


def test_a_user_who_may_not_make_tables_is_told_who_may(fresh: PostgresBackend) -> None:
    fresh._reader.execute("DROP ROLE IF EXISTS triggerdev_test_guest")
    fresh._reader.execute("CREATE ROLE triggerdev_test_guest LOGIN PASSWORD 'guest'")
    try:
        url = psycopg.conninfo.make_conninfo(fresh.url, user="triggerdev_test_guest", password="guest")
        with pytest.raises(errors.EnvironmentProblemError, match="trigger db migrate"):
            postgres.migrate(url, schema=SCHEMA)
    finally:
        fresh._reader.execute("DROP ROLE triggerdev_test_guest")


def test_the_command_says_what_it_did(
    database: PostgresBackend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIGGER_DATABASE_URL", database.url)
    newest = max(postgres_migrations.available())
    assert main(["db", "migrate"]) == 0
    capsys.readouterr()
    assert main(["db", "migrate", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f'{{"version":{newest},"applied":[]}}\n'
    assert "nothing to do" in captured.err


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("", 2, "TRIGGER_DATABASE_URL is not set"),
        ("mysql://u:hunter2@h/d", 2, "begins with 'mysql'"),
        ("postgresql://u:hunter2@[h/d", 2, "no PostgreSQL URL"),
        ("postgresql://u:hunter2@127.0.0.1:1/d", 5, "cannot be reached"),
    ],
)
def test_a_url_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, code: int, says: str
) -> None:
    monkeypatch.setenv("TRIGGER_DATABASE_URL", url)
    assert main(["db", "migrate"]) == code
    said = capsys.readouterr().err
    assert says in said
    assert "hunter2" not in said


def test_a_path_is_a_file_and_a_url_a_database(tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path / "engine.db"), SqliteStore)
    assert isinstance(open_store("postgresql://localhost/x"), postgres.PostgresStore)
    with pytest.raises(errors.UsageError, match="begins with 'redis'"):
        open_store("redis://localhost")
