"""Opening a SQLite file: what is in its way, its connection, its schema, and its errors in words."""

import errno
import os
import sqlite3
from pathlib import Path

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.engine.store import sqlfile
from triggerdev.engine.store.rows import DamagedRowError

FAILURES = (sqlite3.Error, OSError, UnicodeError, DamagedRowError)
_CHECKPOINT_PAGES = 4000  # 16 MB
_LARGEST_LOG = 64 * 1024 * 1024  # what the write-ahead log shrinks to after a long reader
_OF_A_VALUE = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
_ANEW = "To start anew, move the file away"


def check(path: Path) -> None:
    """Refuse what is in the place of the database and is none. Raises EnvironmentProblemError."""
    if path.is_dir():
        raise errors.EnvironmentProblemError(
            f"{path} is a folder; the engine's database should be there. Move the folder away."
        )
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if each.exists() and not os.access(each, os.R_OK | os.W_OK):
            raise errors.EnvironmentProblemError(
                f"{each} cannot be read and written by this user ({_owner(each)}). Change its owner or its"
                " permissions (chown, chmod u+rw), or run as its owner."
            )


def _owner(path: Path) -> str:
    found = path.stat()
    try:
        name = path.owner()
    except KeyError:
        name = str(found.st_uid)
    return f"it is {name}'s, mode {found.st_mode & 0o777:o}"


def connect(path: Path) -> sqlite3.Connection:
    """Connect to a file, with what durability and speed ask for."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=30
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG}")
    return connection


def version(connection: sqlite3.Connection) -> int:
    """Read the number of a file's schema; 0 if it has none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to this version's, in one transaction.

    Raises EnvironmentProblemError if a newer version or another program made it.
    """
    files = sqlfile.migrations("sqlite")
    found, newest = version(connection), max(files)
    _refuse_others(connection, path, found, newest)
    connection.execute("PRAGMA journal_mode = WAL")  # the file keeps it
    scripts = [sqlfile.read("sqlite", name) for number, name in files.items() if number > found]
    if scripts:
        connection.executescript(
            "BEGIN IMMEDIATE; " + "\n".join(scripts) + f"PRAGMA user_version = {newest};"
        )
        crash_point("migration.half_done")
        connection.execute("COMMIT")


def _refuse_others(connection: sqlite3.Connection, path: Path, found: int, newest: int) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and ("runs" not in tables or "ops" not in tables or found == 0):
        raise errors.EnvironmentProblemError(
            f"{path} is a database of another program. Move it away; the engine will make its own."
        )
    if found > newest:
        raise errors.EnvironmentProblemError(
            f"{path} was written by a newer version of triggerdev (schema {found}, this is {newest})."
            f" Use that version, or restore a backup that this one has made. {_ANEW}."
        )


def explain(error: BaseException, path: Path) -> BaseException:
    """Say what a failure of a file means; what is none of `FAILURES` stays as it is."""
    if isinstance(error, UnicodeEncodeError):
        return errors.InvalidOptionError(
            f"Text with half a surrogate pair cannot be stored ({error.reason})."
        )
    code = _code(error)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) or _errno(error) in (errno.ENOSPC, errno.EDQUOT):
        return errors.StorageFullError(
            f"Cannot write {path}: {error}. Nothing was lost; free some disk space and try again."
        )
    if isinstance(error, OSError) or code in (
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    ):
        return errors.EnvironmentProblemError(
            f"Cannot open {path}: {error}. The folder must exist and be writable."
        )
    if _is_damage(error, code):
        return damaged(error, path)
    return error if code is None or code in _OF_A_VALUE else _unusable(error, path)


def _unusable(error: BaseException, path: Path) -> errors.StorageUnavailableError:
    """Say that a file cannot be used for now, most likely as another program holds it."""
    return errors.StorageUnavailableError(
        f"{path} cannot be used: {error}. Nothing was written; no other program may write to it or lock it."
    )


def damaged(error: object, path: Path) -> errors.StorageDamagedError:
    """Say that a file is damaged, and what to do about it."""
    return errors.StorageDamagedError(
        f"{path} is damaged or no database: {error}. Stop the engine and put a backup in its place"
        f" (docs/operations.md, `trigger db backup`). {_ANEW} together with its -wal file;"
        " what it held is lost then."
    )


def _is_damage(error: BaseException, code: int | None) -> bool:
    """Tell damage from a busy file: a page, a row, a text or the schema cannot be what was written."""
    if isinstance(error, DamagedRowError | UnicodeDecodeError) or code in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    ):
        return True
    if isinstance(error, sqlite3.IntegrityError):  # with one writer, only an index that lies can cause it
        return True
    return isinstance(error, sqlite3.OperationalError) and code in (None, sqlite3.SQLITE_ERROR)


def _code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None
