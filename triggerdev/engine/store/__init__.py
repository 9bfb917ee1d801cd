"""The stores: SQLite in one file, PostgreSQL for many servers."""

from pathlib import Path

from triggerdev.engine.store.protocol import Store

_SCHEMES = ("postgresql://", "postgres://")


def open_store(where: str | Path) -> Store:
    """Make the store for a `postgresql://` URL or the path of a file; `Engine.start` opens it.

    Raises UsageError for a URL that cannot be used, or if the extra `postgres` is not installed.
    """
    if isinstance(where, str) and where.startswith(_SCHEMES):
        return _postgres(where)
    if isinstance(where, str) and "://" in where:
        from triggerdev import errors

        scheme = where.partition("://")[0]
        raise errors.UsageError(
            f"TRIGGER_DATABASE_URL begins with {scheme!r}: it must be postgresql:// (without it: SQLite)."
        )
    from triggerdev.engine.store.sqlite import SqliteStore

    return SqliteStore(Path(where))


def _postgres(url: str) -> Store:
    try:
        import psycopg as _psycopg  # noqa: F401 - only to see if it is there
    except ImportError as error:
        from triggerdev import errors

        raise errors.UsageError(
            "TRIGGER_DATABASE_URL needs a driver for PostgreSQL: pip install 'triggerdev[postgres]'."
        ) from error
    from triggerdev.engine.store.postgres import PostgresStore

    return PostgresStore(url)


__all__ = ["open_store"]
