"""The supervisor's side of one worker process, and of the runs that are placed on it."""

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from triggerdev.protocol import DEFAULT_MACHINE, Message
from triggerdev.worker import processes
from triggerdev.worker.cgroups import Group
from triggerdev.worker.channel import AsyncChannel
from triggerdev.worker.output import OutputReader

Kind = Literal["async", "sync"]
_STATUS_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class Placement:
    """A run on a worker: executing, or parked there while it waits.

    `machine`: its preset. `alone`: the only run of its process. `since` is the loop's time at which
    it began to execute, `used_ms` the compute time before that;
    `confirmed` that the worker has taken it; `ending` the outcome it has been told to come to; `waits` when
    those of its operations are over that say so, `due` when it need not wait any more, if that is known.
    """

    run: str
    token: int
    task: str
    attempt: int
    worker: "WorkerProcess"
    max_ms: int | None
    used_ms: float
    since: float
    machine: str = DEFAULT_MACHINE
    alone: bool = True
    parked: bool = False
    confirmed: bool = False
    parked_at: float = 0
    due: float | None = None
    waits: dict[str, float] = field(default_factory=dict)
    ending: Literal["cancelled", "timed_out", "evicted"] | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def usage_ms(self, now: float) -> float:
        return self.used_ms if self.parked else self.used_ms + (now - self.since) * 1000

    def outlook(self, now: float) -> float:
        """Estimate how long it will go on waiting: what is left or, if unknown, as long as it has so far."""
        return now - self.parked_at if self.due is None else self.due - now

    def cancel_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class WorkerListener(Protocol):
    """Who hears of a worker's messages, lines and end."""

    def worker_said(self, worker: "WorkerProcess", messages: list[Message]) -> None: ...
    def worker_printed(self, worker: "WorkerProcess", lines: list[str]) -> None: ...
    def worker_gone(self, worker: "WorkerProcess", status: int | None, peak: int | None) -> None: ...


class WorkerProcess:
    """A worker: its channel, its output, its runs."""

    def __init__(self, number: int, kind: Kind, version: str, listener: WorkerListener) -> None:
        self.number = number
        self.kind = kind
        self.version = version
        self.runs: dict[str, Placement] = {}
        self.executions = 0
        self.pid: int | None = None
        self.is_apart = False
        self.is_retiring = False
        self.is_gone = False
        self.is_stuck = False
        self.blocked_run: str | None = None
        self.culprit: str | None = None
        self.failure: str | None = None
        self.is_ready = False
        self.machine: str | None = None
        self.group = Group()
        self.is_worn = False
        self.is_over_memory = False
        self.resident = 0
        self.private = 0
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._is_killed = False
        self._signals: list[signal.Signals] = []
        self._kill_timer: asyncio.TimerHandle | None = None
        self._status_timer: asyncio.TimerHandle | None = None
        ours, theirs, output, child_output = _open_ends()
        self.child_fds = [theirs.detach(), child_output]
        self.send_channel = AsyncChannel(ours, self._receive, self._channel_closed)
        self._output = OutputReader(output, lambda lines: listener.worker_printed(self, lines))

    @property
    def is_idle(self) -> bool:
        return not self.runs

    @property
    def executing(self) -> list[Placement]:
        return [placement for placement in self.runs.values() if not placement.parked]

    @property
    def parked(self) -> list[Placement]:
        return [placement for placement in self.runs.values() if placement.parked]

    def note_memory(self, message: Message) -> None:
        """Note what the process has in memory without the run that begins, or without any."""
        self.resident = message.get("resident", self.resident)
        self.private = message.get("private", self.private)

    def growth(self, peak: int | None) -> int | None:
        """Give how much of a peak belongs to the runs; None if it is not known."""
        return max(0, peak - self.resident) if peak and self.resident else None

    def send(self, message: Message) -> None:
        self.send_channel.send(message)

    def take_output(self) -> None:
        """Take what has been written to the pipe, for the run that was executing until now."""
        self._output.finish()

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal, as soon as the worker has its handlers."""
        if self.is_gone:
            return
        if not self.is_ready or self.pid is None:
            self._signals.append(number)
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass  # its end is being reported

    def retire(self, grace: float) -> None:
        """Have the worker end by itself; it is killed after `grace` seconds."""
        if self.is_retiring or self.is_gone:
            return
        self.is_retiring = True
        self.send({"t": "shutdown"})
        self._kill_timer = self._loop.call_later(grace, self.kill)

    def kill(self) -> None:
        """Kill the worker and the programs in its process group."""
        self._is_killed = self.is_retiring = True
        if self.pid is not None and not self.is_gone:
            processes.kill_group(self.pid)

    def forked(self, pid: int) -> None:
        """Take note of the process id."""
        self.pid = pid
        if self._is_killed:
            self.kill()

    def failed(self, reason: str) -> None:
        """Take note that the process could not be started."""
        self.failure = reason
        self.exited(None)

    def exited(self, status: int | None, peak: int | None = None) -> None:
        """Take note of the end: first what the process still said, then the listener is told."""
        if self.is_gone:
            return
        self.send_channel.drain()
        self._output.drain()
        self.is_gone = True
        for timer in (self._kill_timer, self._status_timer):
            if timer is not None:
                timer.cancel()
        self.send_channel.close()
        self._output.close()
        self._listener.worker_gone(self, status, peak)

    def _receive(self, messages: list[Message]) -> None:
        if not self.is_ready:
            messages = self._take_welcome(messages)
        self._listener.worker_said(self, messages)

    def _take_welcome(self, messages: Sequence[Message]) -> list[Message]:
        """Note that the worker has its signal handlers; it is its first message."""
        welcome, *rest = messages
        self.is_ready = True
        self.pid = welcome["pid"]
        self.note_memory(welcome)
        for number in self._signals:
            self.interrupt(number)
        self._signals.clear()
        return rest

    def _channel_closed(self) -> None:
        """Wait for the exit status, which follows from the version process unless that is gone too."""
        if not self.is_gone:
            self._status_timer = self._loop.call_later(_STATUS_SECONDS, self._give_up_status)

    def _give_up_status(self) -> None:
        self.kill()
        self.exited(None)


def _open_ends() -> tuple[socket.socket, socket.socket, int, int]:
    """Open a channel and an output pipe: all of it, or OSError and nothing is left open."""
    ours, theirs = socket.socketpair()
    try:
        output, child_output = os.pipe()
    except OSError:
        ours.close()
        theirs.close()
        raise
    return ours, theirs, output, child_output
