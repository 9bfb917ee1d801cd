"""How callers reach the core: commands that are committed, queries that are read."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

from triggerdev import errors
from triggerdev.engine.committer import Committer
from triggerdev.engine.context import Context
from triggerdev.engine.store.protocol import Store, Tx
from triggerdev.engine.store.shared import RepeatError

T = TypeVar("T")


class Shell:
    """Commits commands and carries out queries. `context` makes what they work on, `pump` looks for runs."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        context: Callable[[Tx], Context],
        pump: Callable[[], None],
    ) -> None:
        self._store = store
        self._committer = committer
        self._context = context
        self._pump = pump
        self._is_closed = False
        self._readers = concurrent.futures.ThreadPoolExecutor(1, "triggerdev-read")

    async def do(self, command: Callable[[Context], T]) -> T:
        """Commit a command; gives its answer once that is durable."""
        result: T = await self._committer.submit(command)
        return result

    async def do_and_pump(self, command: Callable[[Context], T]) -> T:
        """Commit a command that may make runs ready."""
        future = self._committer.submit(command)
        self._pump()  # a claim right behind it shares its commit
        result: T = await future
        return result

    async def read(self, query: Callable[[Context], T]) -> T:
        """Carry out a query in a thread of its own. Raises StoppedError after `close`."""
        if self._is_closed:
            raise errors.StoppedError
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read_now, query)

    def close(self) -> None:
        """Wait for the last query."""
        self._is_closed = True
        self._readers.shutdown()

    def _read_now(self, query: Callable[[Context], T]) -> T:
        while True:
            try:
                with self._store.read() as tx:
                    return query(self._context(tx))
            except RepeatError:
                continue  # the store says when it has been enough
