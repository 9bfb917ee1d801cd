"""The store for many servers: PostgreSQL, any number of processes, each able to die at any moment.

A transaction that fails because of another one, or because the database went away, did not happen: it is
repeated as a whole (`RepeatError`). If the connection is lost while a commit is under way, the number of the
server's last commit tells afterwards whether it had happened.
"""

import contextlib
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator

import psycopg

from triggerdev._crash import crash_point
from triggerdev.engine.store import postgres_connection as pg
from triggerdev.engine.store import postgres_migrations
from triggerdev.engine.store.postgres_news import Newsroom
from triggerdev.engine.store.postgres_tx import PostgresTx
from triggerdev.engine.store.shared import News, RepeatError

SCHEMA = "triggerdev"
PATIENCE_SECONDS = 10.0
_START_PATIENCE_SECONDS = 3.0
_MAX_CONFLICTS = 8
_CONFLICTS_BEFORE_ALONE = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_LOST = "the connection was lost"


class PostgresStore:
    """A store in one schema of a database, shared with the other servers on it."""

    def __init__(self, url: str, *, schema: str = SCHEMA, patience: float = PATIENCE_SECONDS) -> None:
        """Name the database. `patience`: for how many seconds calls wait for one that is gone."""
        self._url = pg.checked(url)
        self._schema = schema
        self._where = pg.place(url)
        self.patience = patience
        self._server = secrets.token_hex(8)
        self._clock = pg.DatabaseClock()
        self._writer = _Link(self._connect, self._where, patience)
        self._reader = _Link(self._connect, self._where, patience)
        self._news = Newsroom(self._connect, f"{schema}_news", self._clock)
        self._commits = 0
        self._conflicts = 0

    @property
    def clock(self) -> pg.DatabaseClock:
        """The database's time."""
        return self._clock

    def open(self) -> None:
        """Connect, bring the schema to this version's and read the database's time.

        Raises StorageUnavailableError if nobody answers, EnvironmentProblemError if it cannot be used.
        """
        try:
            connection = self._writer.take(min(_START_PATIENCE_SECONDS, self.patience))
            pg.check_encoding(connection, self._where)
            postgres_migrations.migrate(connection, self._schema, self._where)
            self._clock.measure(connection, PostgresTx.sql["time"])
            connection.execute(PostgresTx.sql["forget_commits"])
            self._reader.take()
        except BaseException as error:
            self.close()
            explained = pg.explain(error, self._where)
            if explained is error:
                raise
            raise explained from error

    @contextlib.contextmanager
    def write(self) -> Iterator[PostgresTx]:
        """Open a transaction that commits durably at the end and rolls back on an exception.

        Raises RepeatError if it did not happen for reasons that pass, StorageUnavailableError when these have
        lasted for too long.
        """
        connection = self._writer.take()
        try:
            self._begin(connection)
            tx = PostgresTx(connection, self._schema, locks=True)
            yield tx
            self._commit(connection, tx)
        except BaseException as error:
            judged = self._judge(error)
            self._writer.settle(error)
            if judged is error:
                raise
            raise judged from error
        self._conflicts = 0

    def _begin(self, connection: pg.Connection) -> None:
        alone = self._conflicts >= _CONFLICTS_BEFORE_ALONE
        query = PostgresTx.sql["write_alone" if alone else "join_in"]
        with connection.pipeline():
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")  # whatever the database's default is
            connection.execute(query, (f"{self._schema}/write", self._server))

    def _commit(self, connection: pg.Connection, tx: PostgresTx) -> None:
        if not tx.wrote:
            connection.execute("ROLLBACK")  # there are only locks to give back, so nothing to wait for
            return
        self._commits += 1
        crash_point("postgres.commit_unnoted")
        try:
            self._send_commit(connection)
        except psycopg.Error as error:
            if not pg.is_lost(error):
                raise
            self._writer.drop(error)
            if not self._has_committed():
                raise

    def _send_commit(self, connection: pg.Connection) -> None:
        """Note the commit's number and commit, in one go. (A seam: tests lose the connection here.)"""
        with connection.pipeline():
            connection.execute(PostgresTx.sql["note_commit"], (self._server, self._commits))
            crash_point("postgres.commit_unsent")
            connection.execute("COMMIT")
            crash_point("postgres.commit_sent")

    def _has_committed(self) -> bool:
        """Find out, on a new connection, if the last commit has happened.

        However long that takes: runs may have been given out that nobody would know of. Raises
        StorageUnavailableError only after `give_up`.
        """
        while True:
            connection = self._writer.take(patience=math.inf)
            try:
                with connection.transaction():
                    connection.execute(PostgresTx.sql["end_of_last"], (self._server,))
                    query = PostgresTx.sql["find_commit"]
                    row = connection.execute(query, (self._server,)).fetchone()
            except psycopg.Error as error:
                if not (pg.is_lost(error) or pg.is_conflict(error)):
                    raise
                self._writer.settle(error)
            else:
                return row is not None and row[0] == self._commits

    def _judge(self, error: BaseException) -> BaseException:
        if pg.is_lost(error):
            return RepeatError(_LOST)
        if pg.is_conflict(error) and self._conflicts < _MAX_CONFLICTS:
            self._conflicts += 1
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._conflicts)
            time.sleep(pause * random.random())  # noqa: S311 - no secret: who goes first
            return RepeatError("another server's transaction was in the way")
        return pg.explain(error, self._where)

    @contextlib.contextmanager
    def read(self) -> Iterator[PostgresTx]:
        """Open a snapshot for reading, beside the writer. Raises as `write` does."""
        connection = self._reader.take()
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresTx(connection, self._schema, locks=False)
            connection.execute("COMMIT")
        except BaseException as error:
            self._reader.settle(error)
            judged = RepeatError(_LOST) if pg.is_lost(error) else pg.explain(error, self._where)
            if judged is error:
                raise
            raise judged from error

    def clock_was_set(self, within: float) -> bool:
        """Tell whether the database's clock was seen to jump in the last so many seconds."""
        return self._clock.was_set(within)

    def listen(self, hear: Callable[[News], None]) -> None:
        """Hear from the other servers, in a thread of its own; also keeps the clock right."""
        self._news.start(hear, PostgresTx.sql)

    def announce(self, news: News) -> None:
        """Tell the other servers, soon and all at once; what cannot be told is found by their polling."""
        self._news.announce(news)

    def give_up(self) -> None:
        """Wait no more for a database that is gone: the engine stops."""
        self._writer.give_up()
        self._reader.give_up()

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._news.stop()
        self._reader.close()
        self._writer.close()

    def _connect(self) -> pg.Connection:
        return pg.connect(self._url, self._schema)


class _Link:
    """A connection that is made again when it is lost, with growing pauses and bounded patience."""

    def __init__(self, connect: Callable[[], pg.Connection], where: str, patience: float) -> None:
        self._connect = connect
        self._where = where
        self._patience = patience
        self._connection: pg.Connection | None = None
        self._down_since: float | None = None
        self._closing = threading.Event()

    def take(self, patience: float | None = None) -> pg.Connection:
        """Give the connection, made anew if there is none. Raises StorageUnavailableError."""
        patience = self._patience if patience is None else patience
        if self._connection is not None:
            return self._connection
        pause = _FIRST_PAUSE
        while True:
            try:
                self._connection = self._connect()
            except psycopg.Error as error:
                self._bear(error, patience)
            else:
                self._down_since = None
                return self._connection
            self._closing.wait(pause * (0.5 + random.random()))  # noqa: S311 - spreads the servers
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _bear(self, error: psycopg.Error, patience: float) -> None:
        if pg.is_refused(error) and patience != math.inf:
            raise pg.unreachable(error, self._where) from error
        now = time.monotonic()
        self._down_since = self._down_since or now
        if now - self._down_since > patience or self._closing.is_set():
            raise pg.unreachable(error, self._where) from error

    def settle(self, error: BaseException) -> None:
        """Bring the connection out of a failed transaction, or drop it."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error as second:
            self.drop(second)
            return
        if pg.is_lost(error):
            self.drop(error)

    def drop(self, _error: BaseException) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._down_since = self._down_since or time.monotonic()

    def give_up(self) -> None:
        """Wait no more for a database that is gone."""
        self._closing.set()

    def close(self) -> None:
        self._closing.set()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def place(url: str) -> str:
    """Name a database for people: host, port and name. Raises UsageError for a URL that is none."""
    return pg.place(pg.checked(url))


def migrate(url: str, *, schema: str = SCHEMA) -> tuple[int, list[str]]:
    """Bring a database's schema to this version's; returns its number and the migrations that were applied.

    Raises UsageError for a URL that is none, StorageUnavailableError, EnvironmentProblemError.
    """
    where = pg.place(pg.checked(url))
    try:
        with contextlib.closing(pg.connect(url, schema)) as connection:
            return postgres_migrations.migrate(connection, schema, where)
    except psycopg.OperationalError as error:
        raise pg.unreachable(error, where) from error
    except psycopg.Error as error:
        raise pg.explain(error, where) from error


__all__ = ["PostgresStore", "migrate", "place"]
