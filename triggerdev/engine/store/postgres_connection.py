"""Connections to PostgreSQL: how they are made, and what their errors mean."""

import math
import time
from typing import Any

import psycopg
from psycopg import conninfo, sql
from psycopg.types.bool import BoolDumper
from psycopg.types.numeric import FloatDumper, Int8Dumper

from triggerdev import errors

Connection = psycopg.Connection[tuple[Any, ...]]

# A server that stands still in the middle of a transaction must not hold its locks for long, and a network
# that is gone must be noticed. Plans: tables are empty when statements are prepared; only indexes scale.
_SESSION = """
SET lock_timeout = '3s';
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '10s';
SET enable_seqscan = off;
SET jit = off;
SET client_min_messages = warning;
"""
_DEFAULTS = {
    "application_name": "triggerdev",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "target_session_attrs": "read-write",
    "client_encoding": "utf8",
}
_CONFLICTS = frozenset({"40001", "40P01", "55P03", "23505"})
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25006", "53300"})
_TROUBLE = ("53", "55", "57", "58", "F0", "XX")  # says nothing of what was to be written
_REFUSED = frozenset({"28P01", "28000", "3D000", "42501"})


_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


_SMALL_STEP_MS = 1000


class LostRaceError(Exception):
    """Another server was faster; seen from what a statement did not write."""


class _TypelessInt(Int8Dumper):
    """Leaves the type to the server, so that a statement has one plan whatever the sizes of its numbers."""

    oid = 0


class _TypelessFloat(FloatDumper):
    oid = 0


def connect(url: str, schema: str) -> Connection:
    """Connect, in autocommit mode, with names looked up in a schema. Raises psycopg.Error."""
    given = conninfo.conninfo_to_dict(url)
    options: dict[str, Any] = {**_DEFAULTS, **given}
    connection = psycopg.connect(**options, autocommit=True, prepare_threshold=0)
    connection.prepared_max = 500
    for kind, dumper in ((int, _TypelessInt), (float, _TypelessFloat), (bool, BoolDumper)):
        connection.adapters.register_dumper(kind, dumper)
    try:
        connection.execute(_SESSION, prepare=False)
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
        # What is acknowledged must be on disk; a stricter setting of the database (replicas) is kept.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
    except BaseException:
        connection.close()
        raise
    return connection


def check_encoding(connection: Connection, where: str) -> None:
    """Refuse a database that cannot hold every text. Raises EnvironmentProblemError."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise errors.EnvironmentProblemError(
            f"{where} has the encoding {encoding}: texts of tasks would be refused. Make one with"
            " CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0."
        )


def checked(url: str) -> str:
    """Check the form of a URL. Raises UsageError, which never shows the URL: it may have a password."""
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise errors.UsageError(
            "TRIGGER_DATABASE_URL is no PostgreSQL URL, such as postgresql://user:password@host:5432/name."
        ) from None
    return url


def place(url: str) -> str:
    """Name a database for people: host, port and name, without user and password."""
    given = conninfo.conninfo_to_dict(url)
    host, port, name = (given.get(key) for key in ("host", "port", "dbname"))
    where = f"{host or 'local socket'}{f':{port}' if port else ''}"
    return f"PostgreSQL at {where}, database {name or given.get('user') or 'default'}"


def is_conflict(error: BaseException) -> bool:
    """Tell if a transaction failed only because of another one."""
    return isinstance(error, LostRaceError) or (
        isinstance(error, psycopg.Error) and error.sqlstate in _CONFLICTS
    )


def is_lost(error: BaseException) -> bool:
    """Tell if the connection, or the server behind it, is gone or cannot write any more."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith("08") or state in _LOST


def is_refused(error: psycopg.Error) -> bool:
    """Tell if connecting again would fail the same way: a password, a database that does not exist."""
    text = str(error)
    return error.sqlstate in _REFUSED or (
        error.sqlstate is None
        and any(part in text for part in ("password authentication", "does not exist", "no pg_hba.conf"))
    )


def explain(error: BaseException, where: str) -> BaseException:
    """Translate an error into one that says what happened, where and what to do next."""
    if isinstance(error, UnicodeEncodeError):
        return errors.InvalidOptionError(
            f"Text with half a surrogate pair cannot be stored ({error.reason})."
        )
    if not isinstance(error, psycopg.Error):
        return error
    state, text = error.sqlstate or "", _first_line(error)
    if state == "53100":
        return errors.StorageFullError(
            f"{where} cannot write: {text}. Nothing was lost; free some disk space there and try again."
        )
    if state.startswith("22") or state == "54000" or isinstance(error, psycopg.DataError):
        return errors.InvalidOptionError(f"A text or number cannot be stored: {text}.")
    if state.startswith(("42501", "28", "3D")):
        return errors.EnvironmentProblemError(f"{where} cannot be used: {text}.")
    if is_lost(error) or is_conflict(error) or state.startswith(_TROUBLE):
        return errors.StorageUnavailableError(f"{where} cannot be used: {text}. Nothing was written.")
    return error


def unreachable(error: BaseException, where: str) -> errors.StorageUnavailableError:
    """Say that a database did not answer for as long as was bearable."""
    return errors.StorageUnavailableError(
        f"{where} cannot be reached: {_first_line(error)}. Nothing was written."
        " Start it, or check TRIGGER_DATABASE_URL."
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def steady() -> float:
    """Tell seconds that neither a change of the clock nor, on Linux, the machine's sleep disturbs."""
    return time.clock_gettime(_BOOT_TIME) if _BOOT_TIME is not None else time.monotonic()


class DatabaseClock:
    """The database's time, told by this machine's steady clock and a measured offset.

    All servers of a database agree on the time, and a jump of a machine's own clock is not seen at all.
    """

    def __init__(self) -> None:
        self._offset_ms = time.time() * 1000 - steady() * 1000
        self._is_measured = False
        self._set_at = -math.inf

    def now(self) -> int:
        return int(steady() * 1000 + self._offset_ms)

    def measure(self, connection: Connection, query: str) -> None:
        """Read the database's time; of three readings the one with the shortest way counts."""
        readings = []
        for _ in range(3):
            before = steady()
            row = connection.execute(query).fetchone()
            after = steady()
            assert row is not None
            readings.append((after - before, row[0] - (before + after) * 500))
        offset_ms = min(readings)[1]
        if self._is_measured and abs(offset_ms - self._offset_ms) > _SMALL_STEP_MS:
            self._set_at = steady()
        self._offset_ms, self._is_measured = offset_ms, True

    def was_set(self, within: float) -> bool:
        """Tell whether the database's clock was seen to jump in the last so many seconds."""
        return steady() - self._set_at < within
