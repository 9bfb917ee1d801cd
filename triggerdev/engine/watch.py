"""Waiting for changes: who wants to know when a run, or its log, has changed."""

import asyncio
import contextlib
from collections.abc import Iterable


class Watch:
    """Futures by key; `notify` resolves those of the keys that changed."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def notify(self, keys: Iterable[str]) -> None:
        if not self._waiting:
            return
        for key in keys:
            for future in self._waiting.pop(key, ()):
                if not future.done():
                    future.set_result(None)

    def notify_all(self) -> None:
        """Resolve the futures of every key: anything may have changed."""
        self.notify(list(self._waiting))

    def arm(self, key: str) -> "asyncio.Future[None]":
        """Start to listen; do it before reading, so that no change falls between."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        return future

    async def wait(self, key: str, future: "asyncio.Future[None]", timeout: float) -> bool:
        """Wait for the change; False at the timeout."""
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(future, timeout)
                return True
            return False
        finally:
            self.disarm(key, future)

    def disarm(self, key: str, future: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[key]
