"""A copy of a SQLite database while an engine writes to it: one snapshot, checked, named when it is whole."""

import contextlib
import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triggerdev import errors
from triggerdev.engine.store import sqlfile
from triggerdev.engine.store import sqlite_opening as opening

_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Backup:
    """What was copied: size in bytes, number of the schema, runs."""

    path: Path
    size: int
    schema: int
    runs: int


def backup(source: Path, target: Path, *, force: bool = False) -> Backup:
    """Copy a database, also one that is being written to; writers go on meanwhile.

    The copy appears under its name when it is complete, checked and on disk; only its owner may read it. An
    existing file is replaced if `force`. Raises UsageError for a target that exists, StorageFullError,
    StorageDamagedError if the copy fails its check, EnvironmentProblemError. No part of a copy is left then.
    """
    _check(source, target, force)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _explained(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            made = _copy(source, draft, target)
            _sync(draft)
            _name(draft, target, force)
            _sync(target.parent)
            return made
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _check(source: Path, target: Path, force: bool) -> None:
    if not source.exists():
        raise errors.EnvironmentProblemError(
            f"There is no database at {source} yet: `trigger dev` makes it at its first start."
        )
    opening.check(source)
    if target.is_dir():
        raise errors.UsageError(f"{target} is a folder; name the file to write.")
    if target.exists() and target.samefile(source):
        raise errors.UsageError(f"{target} is the database itself; name another file.")
    if target.exists() and not force:
        raise errors.UsageError(f"{target} exists; name another file, or replace it with --force.")


def _copy(source: Path, draft: Path, target: Path) -> Backup:
    uri = f"{source.absolute().as_uri()}?mode=rw"  # never makes a file that has gone meanwhile
    with (
        contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as here,
        contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as there,
    ):
        schema = opening.version(here)
        if schema not in sqlfile.migrations("sqlite"):
            raise errors.EnvironmentProblemError(
                f"{source} is no database of this version of triggerdev (schema {schema})."
            )
        there.execute("PRAGMA synchronous = OFF")  # it is synced as a whole, before it gets its name
        here.backup(there)
        there.execute("PRAGMA journal_mode = DELETE")  # one file, complete by itself
        found = [row[0] for row in there.execute("PRAGMA integrity_check(10)")]
        if found != ["ok"]:
            raise opening.damaged("; ".join(str(line).replace("\n", " ") for line in found), source)
        runs = there.execute("SELECT count(*) FROM runs").fetchone()[0]
    return Backup(target, draft.stat().st_size, schema, runs)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(draft: Path, target: Path, force: bool) -> None:
    if force:
        draft.replace(target)
        return
    try:
        target.hardlink_to(draft)  # unlike a rename, it replaces nothing that came meanwhile
    except FileExistsError:
        raise errors.UsageError(f"{target} exists; name another file, or replace it with --force.") from None
    except OSError:  # a file system without links
        draft.rename(target)


@contextlib.contextmanager
def _explained(source: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        is_full = isinstance(error, OSError) and error.errno in _NO_SPACE
        if is_full or getattr(error, "sqlite_errorname", "") in _FULL:
            raise errors.StorageFullError(
                f"The disk that holds {target.parent} is full: no backup was made. Free some space, or name a"
                " file on another disk."
            ) from error
        if isinstance(error, OSError):
            raise errors.EnvironmentProblemError(
                f"Cannot write {target}: {error.strerror}. No backup was made."
            ) from error
        raise opening.explain(error, source) from error
