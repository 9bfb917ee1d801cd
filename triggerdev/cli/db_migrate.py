"""`trigger db migrate`."""

import os

from triggerdev import errors
from triggerdev.cli import options
from triggerdev.cli.output import Output


def migrate(json: options.Json = False, plain: options.Plain = False) -> None:
    """Bring the tables of the PostgreSQL database that TRIGGER_DATABASE_URL names to this version's.

    Servers do it themselves when they start; do it beforehand if their user may not make tables. Any number
    of processes may do it at once. The URL comes from the environment: arguments are visible to others.
    """
    from triggerdev.engine import store

    out = Output(json, plain)
    try:
        version, applied = store.migrate(_url())
    except errors.StorageUnavailableError as error:
        raise errors.ConnectionFailedError(str(error)) from error
    out.result({"version": version, "applied": applied})
    for name in applied:
        out.line(f"applied {name}")
    out.say(f"The schema is at version {version}." + ("" if applied else " There was nothing to do."))


def _url() -> str:
    url = os.environ.get("TRIGGER_DATABASE_URL", "").strip()
    if not url:
        raise errors.UsageError(
            "TRIGGER_DATABASE_URL is not set. Set it to the database, such as postgresql://user@host/name;"
            " SQLite needs no `trigger db migrate`."
        )
    return url
