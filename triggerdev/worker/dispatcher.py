"""Routes messages between an engine and worker processes, and keeps account of which run is where."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from triggerdev._crash import crash_point
from triggerdev.protocol import DEFAULT_MACHINE, Message
from triggerdev.worker import outcomes
from triggerdev.worker.backoff import Backoff
from triggerdev.worker.deaths import Deaths
from triggerdev.worker.endings import Endings
from triggerdev.worker.events import Limits, SupervisorEvent
from triggerdev.worker.growth import Growth
from triggerdev.worker.parking import Parking
from triggerdev.worker.placing import Pool
from triggerdev.worker.version_process import VersionProcess
from triggerdev.worker.worker_process import Kind, Placement, WorkerProcess

_RETIRE_SECONDS = 5
_MAX_SENT_BACK = 3


class Dispatcher:
    """Places runs on workers, passes their messages on, and speaks for processes that have died.

    `emit` gets messages for the engine, never from within `deliver`; `on_capacity` is called when slots have
    become free.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        emit: Callable[[list[Message]], None],
        tell: Callable[[SupervisorEvent], None],
        on_capacity: Callable[[], None],
    ) -> None:
        self.limits = limits
        self.runs: dict[str, Placement] = {}
        self.pool = Pool(limits)
        self.is_stopping = False
        self._emit = emit
        self.tell = tell
        self._on_capacity = on_capacity
        self.loop: asyncio.AbstractEventLoop
        self._endings = Endings(self)
        self.backoff = Backoff(self)
        self.deaths = Deaths(self)
        self._growth = Growth(self)
        self._parking = Parking(self)
        self._executing: dict[Kind, int] = {"async": 0, "sync": 0}
        self._disowned: set[str] = set()
        self._sent_back: Counter[str] = Counter()
        self._outbox: list[Message] = []
        self._capacity_told = True
        self._handlers: dict[str, Callable[[Message], None]] = {
            "start": self._start,
            "resume": self._resume,
            "op_done": self._forward,
            "reply": self._forward,
            "cancel": self._cancel,
            "evict": self._evict,
            "lease_lost": self._lose_lease,
        }
        self._hearers: dict[str, Callable[[WorkerProcess, Message], bool]] = {
            "done": self._hear_end,
            "evicted": self._hear_end,
            "op": self._hear_op,
            "park": self._hear_park,
            "logs": self._hear_lines,
            "taken": self._hear_taken,
            "blocked": self._hear_blocked,
            "unblocked": self._hear_unblocked,
            "pong": lambda worker, message: False,
        }

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Live on this loop from now on."""
        self.loop = loop

    # -- engine -> workers

    def deliver(self, messages: Sequence[Message]) -> None:
        """Carry out what the engine says; messages about runs that are not here any more are dropped."""
        for message in messages:
            self._handlers[message["t"]](message)

    def capacity(self) -> dict[str, int]:
        """Count the free slots of each kind."""
        if self.is_stopping or self.pool.version is None:
            return {"async": 0, "sync": 0}
        return {
            "async": max(0, self.limits.async_slots - self._executing["async"]),
            "sync": max(0, self.limits.sync_slots - self._executing["sync"]),
        }

    @property
    def executing(self) -> int:
        """The number of runs that execute, of both kinds."""
        return sum(self._executing.values())

    def workers(self) -> set[WorkerProcess]:
        """List the processes that have runs, executing or parked."""
        return {placement.worker for placement in self.runs.values()}

    def find(self, run: str, token: int) -> Placement | None:
        placement = self.runs.get(run)
        return placement if placement is not None and placement.token == token else None

    def evict(self, placement: Placement) -> None:
        """Have a run unwound; its process is not waited for longer than `evict_grace`."""
        self._parking.remove(placement)
        self._endings.evict(placement)

    def stop(self) -> None:
        """Start nothing any more, and unwind all runs."""
        self.is_stopping = True
        self.backoff.release_all()
        for placement in list(self.runs.values()):
            self.evict(placement)

    def later(self, message: Message) -> None:
        """Say something to the engine in the next turn of the loop."""
        if not self._outbox:
            self.loop.call_soon(self._flush)
        self._outbox.append(message)

    def _start(self, message: Message) -> None:
        run: dict[str, Any] = message["run"]
        identity, token = run["id"], run["token"]
        crash_point("supervisor.start_taken")
        version = self.pool.version
        if version is None or self.is_stopping:
            self.later(outcomes.lost([(identity, token)]))
            return
        kind = version.kinds.get(run["task"])
        if kind is None:
            self._send_back(identity, token, run["task"], version.name)
            return
        stale = self.runs.get(identity)
        if stale is not None:
            self._abandon(stale)
        try:
            worker = self._take(kind, version, run)
        except OSError as error:
            self.backoff.hold(identity, token, kind, error.strerror or str(error))
            return
        if worker.is_gone:  # asking for a process has shown that the version and all of its workers are dead
            self.later(outcomes.lost([(identity, token)]))
            return
        self._place(worker, message)

    def _take(self, kind: Kind, version: VersionProcess, run: dict[str, Any]) -> WorkerProcess:
        if kind == "sync":
            return self.pool.take_sync(version)
        return self.pool.take_async(version, run["id"], run.get("machine") or DEFAULT_MACHINE)

    def _send_back(self, run: str, token: int, task: str, version: str) -> None:
        """Answer a run whose task is not in this version: it was given out when another one was current.

        What comes again and again belongs to no version.
        """
        self._sent_back[run] += 1
        if self._sent_back[run] < _MAX_SENT_BACK:
            self.later(outcomes.lost([(run, token)]))
        else:
            del self._sent_back[run]
            self.later(outcomes.unknown_task(run, token, task, version))

    def _place(self, worker: WorkerProcess, message: Message) -> None:
        run: dict[str, Any] = message["run"]
        placement = Placement(
            run["id"],
            run["token"],
            run["task"],
            run.get("attempt", 1),
            worker,
            run.get("max_duration_ms"),
            run.get("usage_ms") or 0,
            self.loop.time(),
            run.get("machine") or DEFAULT_MACHINE,
            worker.kind == "sync" or self.pool.suspects.is_alone(run["id"]),
        )
        self.runs[placement.run] = worker.runs[placement.run] = placement
        self._disowned.discard(placement.run)
        self.slot_taken(worker.kind)
        worker.executions += 1
        crash_point("supervisor.start_placed")
        worker.send_channel.send({**message, "alone": placement.alone})
        self._endings.watch_duration(placement)
        self._growth.watch()

    def _resume(self, message: Message) -> None:
        placement = self.find(message["run"], message["old"])
        token = message["token"]
        if placement is None or not placement.parked or placement.ending is not None or self.is_stopping:
            self.later(outcomes.lost([(message["run"], token)]))
            return
        placement.token = token
        placement.parked = placement.confirmed = False
        placement.since = self.loop.time()
        self._parking.remove(placement)
        self.slot_taken(placement.worker.kind)
        crash_point("supervisor.resume_placed")
        placement.worker.send(message)
        self.loop.call_later(self.limits.confirm, self._check_confirmed, placement, token)
        self._endings.watch_duration(placement)
        self._growth.watch()

    def _forward(self, message: Message) -> None:
        placement = self.find(message["run"], message["token"])
        if placement is not None:
            placement.worker.send(message)

    def _cancel(self, message: Message) -> None:
        placement = self.find(message["run"], message["token"])
        if placement is not None:
            self._endings.cancel(placement, message)

    def _evict(self, message: Message) -> None:
        placement = self.find(message["run"], message["token"])
        if placement is None:
            self.later({"t": "evicted", "run": message["run"], "token": message["token"]})
        else:
            self.evict(placement)

    def _lose_lease(self, message: Message) -> None:
        """End the copies of all runs here: another server has them, and what they still say is not stored."""
        for placement in list(self.runs.values()):
            self._disowned.add(placement.run)
            self.evict(placement)

    def _check_confirmed(self, placement: Placement, token: int) -> None:
        if self.runs.get(placement.run) is not placement or placement.token != token or placement.confirmed:
            return
        placement.worker.is_stuck = True
        self._abandon(placement)
        self.later(outcomes.lost([(placement.run, token)]))

    def _abandon(self, placement: Placement) -> None:
        """Forget a copy of a run that goes on elsewhere; a plain function's process ends with it."""
        if placement.worker.kind == "sync":
            placement.worker.kill()
        else:
            placement.worker.send({"t": "evict", "run": placement.run, "token": placement.token})
        self.forget(placement)

    # -- workers -> engine

    def worker_said(self, worker: WorkerProcess, messages: list[Message]) -> None:
        """Take note of what a worker says and pass it on."""
        crash_point("supervisor.message_read")
        worker.is_stuck = False
        passed = []
        for message in messages:
            hear = self._hearers.get(message["t"])
            if hear is None or hear(worker, message):
                passed.append(message)
        if passed:
            self._emit(passed)

    def worker_printed(self, worker: WorkerProcess, lines: list[str]) -> None:
        """Attribute lines to the run of a plain function's process; others are events."""
        placement = next(iter(worker.runs.values()), None) if worker.kind == "sync" else None
        if placement is not None and placement.run in self._disowned:
            return
        if placement is None:
            for line in lines:
                self.tell(SupervisorEvent("output", line, {"pid": worker.pid}))
            return
        common = {"run": placement.run, "attempt": placement.attempt, "at": round(time.time() * 1000)}
        entries = [{**common, "stream": "stdout", "message": line} for line in lines]
        self._emit([{"t": "logs", "lines": entries}])

    def worker_gone(self, worker: WorkerProcess, status: int | None, peak: int | None = None) -> None:
        """Decide what the end of a process means for each run in it."""
        self.deaths.judge(worker, status, peak)

    def _hear_end(self, worker: WorkerProcess, message: Message) -> bool:
        placement = worker.runs.get(message["run"])
        if placement is None:
            return False
        if placement.token != message["token"]:
            if worker.kind == "sync":  # it has nothing else, so the run is not there any more
                self.later(outcomes.lost([(placement.run, placement.token)]))
                self.forget(placement)
            return False
        if worker.kind == "sync":
            worker.take_output()
        if message.pop("suspect", False):
            self.pool.suspects.accuse([placement.run])
        else:
            self.pool.suspects.acquit(placement.run)
        worker.is_worn = worker.is_worn or message.pop("worn", False)
        self._disowned.discard(placement.run)
        self.deaths.forget(placement.run)
        self._sent_back.pop(placement.run, None)
        self.forget(placement)
        return True

    def _hear_op(self, worker: WorkerProcess, message: Message) -> bool:
        placement = worker.runs.get(message["run"])
        if placement is not None:
            self._parking.note_wait(placement, message)
        return True

    def _hear_lines(self, worker: WorkerProcess, message: Message) -> bool:
        if self._disowned:
            message["lines"] = [line for line in message["lines"] if line["run"] not in self._disowned]
        return bool(message["lines"])

    def _hear_park(self, worker: WorkerProcess, message: Message) -> bool:
        placement = worker.runs.get(message["run"])
        if placement is None or placement.token != message["token"] or placement.parked:
            return False
        placement.parked = True
        placement.used_ms = message["usage_ms"]
        self.slot_freed(worker.kind)
        if placement.ending is None:
            placement.cancel_timers()
        version = self.pool.version
        if worker.kind == "async":
            self.pool.suspects.acquit(placement.run)
        if version is None or worker.version != version.name or self.is_stopping:
            self.loop.call_soon(self._evict_if_parked, placement)
        else:
            self._parking.add(placement, message)
        return True

    def _evict_if_parked(self, placement: Placement) -> None:
        if self.runs.get(placement.run) is placement and placement.parked and placement.ending is None:
            self.evict(placement)

    def _hear_taken(self, worker: WorkerProcess, message: Message) -> bool:
        worker.note_memory(message)
        for run, token in message["runs"]:
            placement = worker.runs.get(run)
            if placement is not None and placement.token == token:
                placement.confirmed = True
        return False

    def _hear_blocked(self, worker: WorkerProcess, message: Message) -> bool:
        worker.blocked_run = message["run"] or ""
        placement = worker.runs.get(worker.blocked_run)
        if placement is not None:
            self._endings.blocks(placement)
        who = f"Task {placement.task!r} (run {placement.run})" if placement else "Something"
        text = f"{who} has blocked the event loop of all async tasks for {message['ms'] / 1000:.1f} s at "
        text += f"{message['location']}: {message['source_line']}"
        self.tell(
            SupervisorEvent("blocked", text, {**message, "task": placement.task if placement else None})
        )
        return False

    def _hear_unblocked(self, worker: WorkerProcess, message: Message) -> bool:
        self.tell(SupervisorEvent("unblocked", "The event loop runs again.", {"run": worker.blocked_run}))
        if worker.blocked_run:
            for placement in worker.executing:
                if placement.run != worker.blocked_run:  # it was not their time
                    placement.since = min(self.loop.time(), placement.since + message["ms"] / 1000)
        worker.blocked_run = None
        return False

    # -- account

    def forget(self, placement: Placement) -> None:
        """Remove a run from its worker, and the worker too if nothing needs it any more."""
        if self.runs.get(placement.run) is placement:
            del self.runs[placement.run]
        worker = placement.worker
        if worker.runs.get(placement.run) is not placement:
            return
        del worker.runs[placement.run]
        self._parking.remove(placement)
        placement.cancel_timers()
        if not placement.parked:
            self.slot_freed(worker.kind)
        if worker.is_gone:
            return
        if worker.kind == "sync" and placement.ending is not None:
            worker.retire(_RETIRE_SECONDS)  # code was interrupted anywhere, and may have left programs behind
        elif not worker.runs:
            self.settle(worker)

    def settle(self, worker: WorkerProcess) -> None:
        """Keep an idle worker for the next run, or have it end."""
        if not self.pool.give_back(worker):
            worker.retire(_RETIRE_SECONDS)

    def slot_taken(self, kind: Kind) -> None:
        """Count a run that executes."""
        self._executing[kind] += 1

    def slot_freed(self, kind: Kind) -> None:
        """Count one less; whoever wants to give out runs is told in the next turn of the loop."""
        self._executing[kind] -= 1
        if self._capacity_told:
            self._capacity_told = False
            self.loop.call_soon(self._tell_capacity)

    def _tell_capacity(self) -> None:
        self._capacity_told = True
        self._on_capacity()

    def _flush(self) -> None:
        messages, self._outbox = self._outbox, []
        self._emit(messages)
