"""What a scenario ran on, for the report."""

import os
import platform
import sqlite3
import subprocess

import psycopg

from tests.store import postgres_server


def describe(store: str) -> str:
    """Name the machine, Python and the database in one line."""
    parts = [
        f"{os.cpu_count()} cores",
        f"{platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}",
    ]
    if store == "sqlite":
        parts.append(f"SQLite {sqlite3.sqlite_version}")
    if store == "postgres":
        parts.append(f"PostgreSQL {_postgres_version()}")
    return ", ".join(parts)


def _postgres_version() -> str:
    with psycopg.connect(postgres_server.shared_url()) as connection:
        return connection.info.parameter_status("server_version") or "unknown"


def commit(folder: os.PathLike[str]) -> str:
    """Name the commit that a checkout is at, and whether it was changed since; kept results are no change."""
    found = _git(folder, "rev-parse", "--short", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--", ".", ":!tests/reliability/results")
    return f"{found} with changes" if found and changed else found or "unknown"


def _git(folder: os.PathLike[str], *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=folder, check=False)
    return done.stdout.strip()
