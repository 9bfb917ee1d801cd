"""The final state, read from the database itself when no engine runs any more."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

FINAL = frozenset(
    {
        "COMPLETED_SUCCESSFULLY",
        "COMPLETED_WITH_ERRORS",
        "CANCELED",
        "CRASHED",
        "SYSTEM_FAILURE",
        "EXPIRED",
        "TIMED_OUT",
    }
)
_RUNS = """SELECT id, task, status, attempt, token, parent_id, payload, output, metadata, tags, error
 FROM runs ORDER BY seq"""
_TOKENS = "SELECT id, status, tags FROM tokens"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as stored; JSON columns are read."""

    id: str
    task: str
    status: str
    attempt: int
    token: int
    parent: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    output: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    error: Any = None

    @property
    def mark(self) -> str | None:
        """What tells which execution's output was accepted."""
        return self.output.get("end") if isinstance(self.output, dict) else None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One waitpoint token as stored."""

    id: str
    status: str
    tags: list[str] = field(default_factory=list)


def read_sqlite(path: Path) -> tuple[list[RunRow], list[TokenRow]]:
    """Read a database file."""
    with closing(sqlite3.connect(path)) as connection:
        return _read(connection.execute(_RUNS).fetchall(), connection.execute(_TOKENS).fetchall())


def read_postgres(url: str) -> tuple[list[RunRow], list[TokenRow]]:
    """Read the tables that a URL's search path leads to."""
    with psycopg.connect(url) as connection:
        return _read(connection.execute(_RUNS).fetchall(), connection.execute(_TOKENS).fetchall())


def _read(runs: list[Any], tokens: list[Any]) -> tuple[list[RunRow], list[TokenRow]]:
    rows = [
        RunRow(
            id=row[0],
            task=row[1],
            status=row[2],
            attempt=row[3],
            token=row[4],
            parent=row[5],
            payload=_json(row[6]) or {},
            output=_json(row[7]),
            metadata=_json(row[8]) or {},
            tags=_json(row[9]) or [],
            error=_json(row[10]),
        )
        for row in runs
    ]
    return rows, [TokenRow(id, status, _json(tags) or []) for id, status, tags in tokens]


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
