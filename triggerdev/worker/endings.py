"""How a run that has to end is brought to its end: told, interrupted, and at last killed with its process."""

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from triggerdev._crash import crash_point
from triggerdev.protocol import Message
from triggerdev.worker import outcomes
from triggerdev.worker.worker_process import Placement

if TYPE_CHECKING:
    from triggerdev.worker.dispatcher import Dispatcher

_SWEEP_SECONDS = 0.25


class Endings:
    """Cancels, times out and evicts runs.

    A plain function's process is interrupted by a signal. A coroutine is told by a message, as its loop
    normally hears it; by a signal only if it is the one that blocks the loop.
    """

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits
        self._sweeping = False

    def cancel(self, placement: Placement, message: Message) -> None:
        """End a run as cancelled, or as evicted when the engine says that its lease is lost."""
        if placement.ending is not None:
            return
        if message.get("reason") == "lease_lost":
            self.evict(placement)
            return
        self._set_ending(placement, "cancelled")
        if placement.worker.kind == "async":
            placement.worker.send(message)
        if placement.worker.kind == "sync" or placement.worker.blocked_run == placement.run:
            self._interrupt_cancelled(placement)
            return
        is_listening = placement.worker.blocked_run is None
        grace = self._limits.loop_grace if is_listening else self._limits.cancel_grace
        self._after(grace, self._kill_for, placement)

    def blocks(self, placement: Placement) -> None:
        """Interrupt a run that turns out to block its loop, if it was cancelled before that was known."""
        if placement.ending == "cancelled":
            placement.cancel_timers()
            self._interrupt_cancelled(placement)

    def _interrupt_cancelled(self, placement: Placement) -> None:
        placement.worker.interrupt(signal.SIGUSR1)
        self._after(self._limits.cancel_grace, self._kill_for, placement)

    def evict(self, placement: Placement) -> None:
        """Unwind a run that goes on elsewhere."""
        if placement.ending is not None:
            return
        self._set_ending(placement, "evicted")
        crash_point("supervisor.evicting")
        if placement.worker.kind == "async" or placement.parked:
            placement.worker.send({"t": "evict", "run": placement.run, "token": placement.token})
        else:
            placement.worker.interrupt(signal.SIGTERM)
        self._after(self._limits.evict_grace, self._give_up_eviction, placement)

    def watch_duration(self, placement: Placement) -> None:
        """See to it that a run ends when its compute time is used up."""
        if placement.max_ms is None:
            return
        if placement.worker.kind == "sync":
            left = (placement.max_ms - placement.used_ms) / 1000
            self._after(max(0, left), self._time_out, placement)
        elif not self._sweeping:
            self._sweeping = True
            self._dispatcher.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Look for coroutines over their time: the executor ends them, unless the loop is blocked."""
        now, watched = self._dispatcher.loop.time(), 0
        for placement in list(self._dispatcher.runs.values()):
            if placement.max_ms is None or placement.parked or placement.worker.kind != "async":
                continue
            watched += 1
            over = (placement.usage_ms(now) - placement.max_ms) / 1000
            if over < 0 or placement.ending is not None:
                continue
            if placement.worker.blocked_run == placement.run:
                self._time_out(placement)
            elif over > self._limits.loop_grace and placement.worker.blocked_run is None:
                self._set_ending(placement, "timed_out")
                self._kill_for(placement)
        self._sweeping = watched > 0
        if self._sweeping:
            self._dispatcher.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _time_out(self, placement: Placement) -> None:
        if placement.ending is not None:
            return
        self._set_ending(placement, "timed_out")
        placement.worker.interrupt(signal.SIGUSR2)
        self._after(self._limits.timeout_grace, self._kill_for, placement)

    def _kill_for(self, placement: Placement) -> None:
        if self._dispatcher.runs.get(placement.run) is not placement:
            return
        worker = placement.worker
        if worker.kind == "async" and worker.blocked_run not in (None, placement.run):
            # another run keeps the loop from this one, which hears of its end as soon as the loop runs again
            self._dispatcher.later(outcomes.ended(placement, self._dispatcher.loop.time()))
            self._dispatcher.forget(placement)
            return
        worker.culprit = placement.run
        worker.kill()

    def _give_up_eviction(self, placement: Placement) -> None:
        if self._dispatcher.runs.get(placement.run) is not placement:
            return
        self._dispatcher.later(outcomes.evicted(placement))
        if placement.worker.kind == "sync":
            placement.worker.kill()
        self._dispatcher.forget(placement)

    def _set_ending(self, placement: Placement, ending: Literal["cancelled", "timed_out", "evicted"]) -> None:
        placement.cancel_timers()
        placement.ending = ending

    def _after(self, seconds: float, call: Callable[[Placement], None], placement: Placement) -> None:
        placement.timers.append(self._dispatcher.loop.call_later(seconds, call, placement))
