"""An empty database for a scenario, on the store that its plan names."""

import re
import secrets
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from tests.reliability import state
from tests.store import postgres_server
from triggerdev.engine.store.postgres import SCHEMA


class Database:
    """Where `trigger dev` keeps its state in a scenario, and how to read that from outside."""

    def __init__(self, store: str, project: Path) -> None:
        self._file = project / ".trigger" / "engine.db"
        self.url = _new_postgres() if store == "postgres" else ""

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
            _execute("DROP DATABASE {} WITH (FORCE)", str(name))


def _new_postgres() -> str:
    name = f"triggerdev_storm_{secrets.token_hex(4)}"
    _execute("CREATE DATABASE {}", name)
    return re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", postgres_server.shared_url(), count=1)


def _execute(statement: str, name: str) -> None:
    with psycopg.connect(postgres_server.shared_url(), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
