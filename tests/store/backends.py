"""The stores that the tests run on: how to make one, and how to look into it from beside."""

import functools
import os
import sqlite3
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from psycopg import sql

from tests.store import postgres_server
from triggerdev.engine.store import postgres
from triggerdev.engine.store.memory import MemoryStore
from triggerdev.engine.store.postgres import PostgresStore
from triggerdev.engine.store.protocol import Store
from triggerdev.engine.store.sqlite import SqliteStore

STORES = os.environ.get("TRIGGER_TEST_STORES", "sqlite,postgres").split(",")
SCHEMA = "triggerdev_test"


class Backend(Protocol):
    """A place for data that outlives the store objects on it."""

    def make(self) -> Store: ...
    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]: ...
    def close(self) -> None: ...


class SqliteBackend:
    """A file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engine.db"
        self._reader: sqlite3.Connection | None = None

    def make(self) -> Store:
        return SqliteStore(self.path)

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._reader is None:
            self._reader = sqlite3.connect(self.path)
        return self._reader.execute(text, values).fetchall()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class PostgresBackend:
    """An empty schema of a database; placeholders of queries are SQLite's."""

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        self.url, self.schema = url, schema
        self._reader = _beside(url, schema)
        tables = self.query("SELECT tablename FROM pg_tables WHERE schemaname = ?", schema)
        self._reader.execute(
            sql.SQL("").join(
                sql.SQL("DELETE FROM {};").format(sql.Identifier(name))
                for (name,) in tables
                if name != "migrations"
            )
        )
        self._reader.execute("SELECT setval(pg_get_serial_sequence('runs', 'seq'), 1, false)")

    def make(self) -> PostgresStore:
        return PostgresStore(self.url, schema=self.schema)

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._reader.execute(text.replace("?", "%s").encode(), values or None).fetchall()

    def close(self) -> None:
        """Do nothing: the next test uses the connection again."""


@functools.cache
def _beside(url: str, schema: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """Make a schema, once, and a connection to it beside those of the store."""
    postgres.migrate(url, schema=schema)
    connection = psycopg.connect(url, autocommit=True)
    connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
    return connection


class MemoryBackend:
    """One store object, which keeps its data when it is closed."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    def make(self) -> Store:
        return self._store

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        raise AssertionError("a store in memory has no SQL")

    def close(self) -> None:
        """Do nothing: there is nothing but the object."""


def make_backend(kind: str, folder: Path) -> Backend:
    """Make a store's place by name, empty. Skips the test where there is no PostgreSQL."""
    if kind == "memory":
        return MemoryBackend()
    if kind not in STORES:
        pytest.skip(f"TRIGGER_TEST_STORES={','.join(STORES)} leaves {kind} out")
    if kind == "postgres":
        return PostgresBackend(postgres_server.shared_url())
    return SqliteBackend(folder)
