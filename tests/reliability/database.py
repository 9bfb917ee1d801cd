"""An empty database for a scenario, on the store that its plan names."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import conninfo, sql

from tests.reliability import state
from tests.store import postgres_server
from triggerdev.engine.store.postgres import SCHEMA


class Database:
    """Where `trigger dev` keeps its state in a scenario, and how to read that from outside."""

    def __init__(self, store: str, project: Path, server_url: str | None = None) -> None:
        """Name the place; `server_url` is a PostgreSQL in place of the one that all tests share."""
        self._file = project / ".trigger" / "engine.db"
        self._server = ""
        self.url = ""
        if store == "postgres":
            self._server = server_url or postgres_server.shared_url()
            self.url = self._new()

    @property
    def environment(self) -> dict[str, str]:
        """What a server needs to find it."""
        return {"TRIGGER_DATABASE_URL": self.url} if self.url else {}

    def read(self) -> tuple[list[state.RunRow], list[state.TokenRow]]:
        """Read what is stored; no server may run any more."""
        if not self.url:
            return state.read_sqlite(self._file)
        return state.read_postgres(conninfo.make_conninfo(self.url, options=f"-csearch_path={SCHEMA}"))

    def drop(self) -> None:
        """Remove a database of PostgreSQL; a file goes with its folder."""
        if self.url:
            name = conninfo.conninfo_to_dict(self.url)["dbname"]
            self._execute("DROP DATABASE {} WITH (FORCE)", str(name))

    def _new(self) -> str:
        name = f"triggerdev_storm_{secrets.token_hex(4)}"
        self._execute("CREATE DATABASE {}", name)
        return _other_database(self._server, name)

    def _execute(self, statement: str, name: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _other_database(url: str, name: str) -> str:
    """Name another database of the same server."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))
