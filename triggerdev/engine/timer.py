"""The engine's alarm clock: calls it when the next thing is due."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from triggerdev.engine.clock import Clock

_log = logging.getLogger("triggerdev")
_AGAIN_MS = 1000  # after a tick that failed


class Timer:
    """One alarm, set to the earliest moment that it was told.

    `longest`: seconds after which it calls anyway; `shortest`: it never calls sooner.
    """

    def __init__(
        self, clock: Clock, tick: Callable[[], Awaitable[None]], *, shortest: float, longest: float
    ) -> None:
        self._clock = clock
        self._tick = tick
        self._shortest = shortest
        self._longest = longest
        self._due_at: int | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._ticking = False
        self._tick_again = False
        self._stopped = False

    @property
    def is_set(self) -> bool:
        """Tell whether a moment is known."""
        return self._due_at is not None

    def forget(self) -> None:
        """Take the next moment that is told, whatever it is."""
        self._due_at = None

    def set(self, due_at: int | None) -> None:
        """Call at a moment, unless an earlier one is known; None: after the longest time."""
        if self._stopped or (due_at is not None and self._due_at is not None and self._due_at <= due_at):
            return
        self._due_at = due_at
        if self._handle is not None:
            self._handle.cancel()
        delay = self._longest if due_at is None else (due_at - self._clock.now()) / 1000
        delay = max(self._shortest, min(delay, self._longest))
        self._handle = asyncio.get_running_loop().call_later(delay, self._on_time)

    def stop(self) -> None:
        """Call no more."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()

    def _on_time(self) -> None:
        self._due_at = None
        if self._ticking:
            self._tick_again = True
            return
        self._ticking = True
        task = asyncio.ensure_future(self._tick())
        task.add_done_callback(self._ticked)

    def _ticked(self, task: "asyncio.Future[None]") -> None:
        self._ticking = False
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.warning("what is due cannot be carried out: %s", error)
            self._due_at = None
            self.set(self._clock.now() + _AGAIN_MS)
        elif self._tick_again:
            self._tick_again = False
            self._on_time()
