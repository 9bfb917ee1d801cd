"""The stores: SQLite in one file, PostgreSQL for many servers."""

from pathlib import Path
from types import ModuleType

from triggerdev import errors
from triggerdev.engine.store.protocol import Store

_SCHEMES = ("postgresql://", "postgres://")


def open_store(where: str | Path) -> Store:
    """Make the store for a `postgresql://` URL or the path of a file; `Engine.start` opens it.

    Raises UsageError for a URL that cannot be used, or if the extra `postgres` is not installed.
    """
    if isinstance(where, str) and "://" in where:
        store: Store = _postgres(where).PostgresStore(where)
        return store
    from triggerdev.engine.store.sqlite import SqliteStore

    return SqliteStore(Path(where))


def describe(where: str | Path) -> str:
    """Name a database for people, without user and password. Raises UsageError as `open_store` does."""
    if isinstance(where, str) and "://" in where:
        return str(_postgres(where).place(where))
    return f"SQLite in {where}"


def migrate(url: str) -> tuple[int, list[str]]:
    """Bring a PostgreSQL database's schema to this version's; returns its number and what was applied.

    Raises UsageError as `open_store` does, StorageUnavailableError, EnvironmentProblemError.
    """
    version, applied = _postgres(url).migrate(url)
    return version, applied


def _postgres(url: str) -> ModuleType:
    """Import the PostgreSQL store, which needs a driver that not everybody has."""
    if not url.startswith(_SCHEMES):
        scheme = url.partition("://")[0] if "://" in url else ""
        raise errors.UsageError(
            f"TRIGGER_DATABASE_URL begins with {scheme!r}: it must be postgresql:// (without it: SQLite)."
        )
    try:
        from triggerdev.engine.store import postgres
    except ImportError as error:
        raise errors.UsageError(
            "TRIGGER_DATABASE_URL needs a driver for PostgreSQL: pip install 'triggerdev[postgres]'."
        ) from error
    return postgres


__all__ = ["describe", "migrate", "open_store"]
