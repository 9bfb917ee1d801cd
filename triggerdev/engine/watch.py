"""Waiting for changes: who wants to know when a run, or its log, has changed."""

import asyncio
import contextlib
from collections.abc import Collection, Iterable

_MOST_KEPT = 10_000


class Feed:
    """The keys that have changed since they were last taken, for who wants to know of all of them."""

    def __init__(self) -> None:
        self._keys: set[str] | None = set()
        self._news = asyncio.Event()

    def note(self, keys: Iterable[str]) -> None:
        if self._keys is not None:
            self._keys.update(keys)
            if len(self._keys) > _MOST_KEPT:
                self._keys = None
        self._news.set()

    def note_all(self) -> None:
        self._keys = None
        self._news.set()

    def take(self) -> set[str] | None:
        """Take the keys that have changed; None: any may have."""
        keys, self._keys = self._keys, set()
        self._news.clear()
        return keys

    async def wait(self, timeout: float) -> None:
        """Wait until there is something to take, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):  # Python 3.11's wait_for may swallow a cancel
                await self._news.wait()


class Watch:
    """Futures by key; `notify` resolves those of the keys that changed. Feeds hear of every key."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._feeds: set[Feed] = set()

    def open_feed(self) -> Feed:
        feed = Feed()
        self._feeds.add(feed)
        return feed

    def close_feed(self, feed: Feed) -> None:
        self._feeds.discard(feed)

    def notify(self, keys: Collection[str]) -> None:
        for feed in self._feeds:
            feed.note(keys)
        self._wake(keys)

    def _wake(self, keys: Iterable[str]) -> None:
        if not self._waiting:
            return
        for key in keys:
            for future in self._waiting.pop(key, ()):
                if not future.done():
                    future.set_result(None)

    def notify_all(self) -> None:
        """Resolve the futures of every key: anything may have changed."""
        for feed in self._feeds:
            feed.note_all()
        self._wake(list(self._waiting))

    def arm(self, key: str) -> "asyncio.Future[None]":
        """Start to listen; do it before reading, so that no change falls between."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        return future

    async def wait(self, key: str, future: "asyncio.Future[None]", timeout: float) -> bool:
        """Wait for the change; False at the timeout."""
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self.disarm(key, future)

    def disarm(self, key: str, future: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[key]
