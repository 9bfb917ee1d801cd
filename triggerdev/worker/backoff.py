"""Runs for which no process can be started now, as files, processes or memory have run out."""

import asyncio
from typing import TYPE_CHECKING

from triggerdev.worker import outcomes
from triggerdev.worker.events import SupervisorEvent
from triggerdev.worker.worker_process import Kind

if TYPE_CHECKING:
    from triggerdev.worker.dispatcher import Dispatcher

_PAUSE_SECONDS = 0.5
_TELL_SECONDS = 10.0


class Backoff:
    """Gives each run back to the engine after a pause.

    Meanwhile it keeps its slot: otherwise the whole queue would be claimed in vain, run after run.
    """

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._held: dict[tuple[str, int], tuple[Kind, asyncio.TimerHandle]] = {}
        self._told_at = -_TELL_SECONDS

    def hold(self, run: str, token: int, kind: Kind, reason: str) -> None:
        """Keep a run for the pause; people are told of it now and then."""
        loop = self._dispatcher.loop
        if loop.time() >= self._told_at + _TELL_SECONDS:
            self._told_at = loop.time()
            text = f"No process can be started for run {run}: {reason}. It is tried again."
            self._dispatcher.tell(SupervisorEvent("exhausted", text, {"run": run}))
        pause = 0 if self._dispatcher.is_stopping else _PAUSE_SECONDS
        self._dispatcher.slot_taken(kind)
        self._held[run, token] = kind, loop.call_later(pause, self._release, run, token)

    def release_all(self) -> None:
        """Give everything back now, as nothing is started any more."""
        for run, token in list(self._held):
            self._release(run, token)

    def _release(self, run: str, token: int) -> None:
        kind, timer = self._held.pop((run, token))
        timer.cancel()
        self._dispatcher.slot_freed(kind)
        self._dispatcher.later(outcomes.lost([(run, token)]))
