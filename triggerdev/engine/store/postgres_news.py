"""News between servers by LISTEN and NOTIFY: hints that are faster than polling, never the only way."""

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from triggerdev import _json
from triggerdev.engine.store.postgres_connection import Connection, DatabaseClock
from triggerdev.engine.store.shared import News

_log = logging.getLogger(__name__)
_MAX_BYTES = 7_000  # a notification holds less than 8,000
_MEASURE_SECONDS = 10.0
_GATHER_SECONDS = 0.01
_PAUSE_SECONDS = 0.5


class Newsroom:
    """A thread with a connection of its own that tells other servers what changed here, and hears from them.

    What is announced gathers while it is telling, so that however much happens, it tells 100 times a second.
    """

    def __init__(self, connect: Callable[[], Connection], channel: str, clock: DatabaseClock) -> None:
        self._connect = connect
        self._channel = channel
        self._clock = clock
        self._lock = threading.Lock()
        self._outgoing = News()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake_read = self._wake_write = -1
        self._hear: Callable[[News], None] = lambda _news: None
        self._sql: Mapping[str, str] = {}

    def start(self, hear: Callable[[News], None], queries: Mapping[str, str]) -> None:
        """Start the thread. `hear` is called in it."""
        self._hear, self._sql = hear, queries
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._work, name="triggerdev-news", daemon=True)
        self._thread.start()

    def announce(self, news: News) -> None:
        with self._lock:
            was_empty = not self._outgoing
            self._outgoing.runs |= news.runs
            self._outgoing.logs |= news.logs
            self._outgoing.mail |= news.mail
            self._outgoing.work |= news.work
        if was_empty and self._thread is not None:
            self._wake()

    def stop(self) -> None:
        if self._thread is None:
            return
        self._stopping.set()
        self._wake()
        self._thread.join()
        self._thread = None
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            pass  # the pipe is full of earlier wakes

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._connect() as connection:
                    self._serve(connection)
            except psycopg.Error as error:
                _log.debug("no news from other servers: %s", error)
                self._stopping.wait(_PAUSE_SECONDS)

    def _serve(self, connection: Connection) -> None:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        self._hear(News(missed=True))
        while not self._stopping.is_set():
            self._clock.measure(connection, self._sql["time"])
            self._serve_for_a_while(connection)

    def _serve_for_a_while(self, connection: Connection) -> None:
        until = time.monotonic() + _MEASURE_SECONDS
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([connection.fileno(), self._wake_read], [], [], left)
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
            self._tell(connection)
            self._hear_all(connection)
            if self._wake_read in readable:
                self._stopping.wait(_GATHER_SECONDS)

    def _tell(self, connection: Connection) -> None:
        with self._lock:
            news, self._outgoing = self._outgoing, News()
        for part in _parts(news):
            connection.execute(self._sql["notify"], (self._channel, _json.dumps(part)))

    def _hear_all(self, connection: Connection) -> None:
        own = connection.info.backend_pid
        for notification in connection.notifies(timeout=0):
            if notification.pid != own:
                news = _read(notification.payload)
                if news is not None:
                    self._hear(news)


def _parts(news: News) -> Iterator[dict[str, Any]]:
    """Cut news into pieces that fit into a notification."""
    part: dict[str, Any] = {"work": True} if news.work else {}
    room = _MAX_BYTES
    for kind, ids in (("runs", news.runs), ("logs", news.logs), ("mail", news.mail)):
        for each in ids:
            size = len(each.encode()) + 3
            if part and room < size:
                yield part
                part, room = {}, _MAX_BYTES
            part.setdefault(kind, []).append(each)
            room -= size
    if part:
        yield part


def _read(payload: str) -> News | None:
    """Read a notification; one that is none of ours is passed over."""
    try:
        part = _json.loads(payload)
        runs, logs, mail = (set(part.get(kind, ())) for kind in ("runs", "logs", "mail"))
        return News(runs, logs, mail, bool(part.get("work")))
    except (ValueError, AttributeError, TypeError):
        return None
