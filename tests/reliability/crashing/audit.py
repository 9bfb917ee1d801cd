"""A database's own account: triggers that write down each committed change, which no engine knows of."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql

from triggerdev.engine import store as stores
from triggerdev.engine.store import postgres

_TABLES = """
CREATE TABLE audit_status (n {serial}, run TEXT, before TEXT, after TEXT, queue TEXT, executing BIGINT);
CREATE TABLE audit_ops (n {serial}, run TEXT, attempt BIGINT, op TEXT, kind TEXT);
"""
_STATUS = """INSERT INTO audit_status (run, before, after, queue, executing)
  VALUES (NEW.id, OLD.status, NEW.status, NEW.queue,
  (SELECT count(*) FROM runs WHERE queue = NEW.queue AND status = 'EXECUTING'));"""
_OPS = (
    """INSERT INTO audit_ops (run, attempt, op, kind) VALUES (NEW.run_id, NEW.attempt, NEW.op, NEW.kind);"""
)
_KEPT = ("runs", "batches", "batch_items")  # what retention deletes is kept in copies of these
_SQLITE = f"""
{_TABLES.format(serial="INTEGER PRIMARY KEY")}
CREATE TRIGGER audit_status AFTER UPDATE ON runs WHEN OLD.status IS NOT NEW.status BEGIN {_STATUS} END;
CREATE TRIGGER audit_ops AFTER INSERT ON ops BEGIN {_OPS} END;
"""
_SQLITE_COPY = """
CREATE TABLE gone_{table} AS SELECT * FROM {table} WHERE false;
CREATE TRIGGER gone_{table} AFTER DELETE ON {table} BEGIN INSERT INTO gone_{table} VALUES ({columns}); END;
"""
_POSTGRES = f"""
{_TABLES.format(serial="BIGINT GENERATED ALWAYS AS IDENTITY")}
CREATE FUNCTION audit_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_STATUS} RETURN NULL; END $$;
CREATE FUNCTION audit_ops() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_OPS} RETURN NULL; END $$;
CREATE TRIGGER audit_status AFTER UPDATE ON runs FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
  EXECUTE FUNCTION audit_status();
CREATE TRIGGER audit_ops AFTER INSERT ON ops FOR EACH ROW EXECUTE FUNCTION audit_ops();
CREATE FUNCTION audit_gone() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN EXECUTE format('INSERT INTO gone_%s SELECT ($1).*', TG_TABLE_NAME) USING OLD; RETURN NULL; END $$;
"""
_POSTGRES_COPY = """
CREATE TABLE gone_{table} AS SELECT * FROM {table} WHERE false;
CREATE TRIGGER gone_{table} AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION audit_gone();
"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """A file."""

    path: Path

    def watch(self) -> None:
        """Make the tables, if there are none yet, and write down all that happens from now on."""
        store = stores.open_store(self.path)
        store.open()
        store.close()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(_SQLITE)
            for table in _KEPT:
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                columns = ", ".join(f"OLD.{name}" for name in names)
                connection.executescript(_SQLITE_COPY.format(table=table, columns=columns))

    def query(self, text: str) -> list[Row]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(text)]


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A schema; a new one of the same name replaces it."""

    url: str
    schema: str

    def drop(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.schema))
            )

    def watch(self) -> None:
        """Make the tables, if there are none yet, and write down all that happens from now on."""
        postgres.migrate(self.url, schema=self.schema)
        with self._connect() as connection:
            copies = [_POSTGRES_COPY.format(table=table) for table in _KEPT]
            connection.execute(cast("Any", _POSTGRES + "".join(copies)))

    def query(self, text: str) -> list[Row]:
        with self._connect() as connection:
            cursor = connection.execute(cast("Any", text))
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        connection = psycopg.connect(self.url, autocommit=True)
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(self.schema)))
        return connection


Database = SqliteDatabase | PostgresDatabase
