"""The schema of the PostgreSQL store: numbered files, applied in order under a lock."""

import psycopg
from psycopg import sql

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.engine.store import sqlfile
from triggerdev.engine.store.postgres_connection import Connection

_LOCK = 7_214_980_213_001  # any number that nobody else uses


def available() -> dict[int, str]:
    """Name the migrations of this version of the package, by number."""
    return sqlfile.migrations("postgres")


def migrate(connection: Connection, schema: str, where: str) -> tuple[int, list[str]]:
    """Bring the schema to this version's; returns its number and the files that were applied.

    All of them in one transaction, one server at a time; others wait. Nothing is written when there is
    nothing to do. Raises EnvironmentProblemError if the schema is newer, or may not be changed.
    """
    files = available()
    newest = max(files)
    if version(connection) == newest:
        return newest, []
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '60s'")
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SET LOCAL application_name = 'triggerdev migration'")  # may take its time
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            found = _prepare(connection, schema)
            if found > newest:
                raise errors.EnvironmentProblemError(
                    f"{where} was written by a newer version of triggerdev (schema {found}, this is"
                    f" {newest}). Use that version, or another database."
                )
            applied = [name for number, name in files.items() if number > found]
            for name in applied:
                connection.execute(sqlfile.read("postgres", name), prepare=False)
                crash_point("migration.half_done")
            if applied:
                connection.execute("INSERT INTO migrations (version) VALUES (%s)", (newest,))
    except psycopg.errors.InsufficientPrivilege as error:
        raise errors.EnvironmentProblemError(
            f"{where}: its user may not make the tables ({str(error).strip()})."
            " Run `trigger db migrate` with the URL of a user who may."
        ) from error
    return newest, applied


def version(connection: Connection) -> int:
    """Read the schema's number; 0 if there is none."""
    row = connection.execute("SELECT to_regclass('migrations') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    assert row is not None
    return int(row[0])


def _prepare(connection: Connection, schema: str) -> int:
    known = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone()
    if known is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    return version(connection)
