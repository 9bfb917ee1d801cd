"""Executes coroutine tasks: thousands of runs on one event loop."""

import asyncio
import itertools
from typing import Any

from triggerdev import errors
from triggerdev._crash import crash_point, crash_point_after_turn
from triggerdev.protocol import DEFAULT_MACHINE, Message, RunStart
from triggerdev.sdk import http
from triggerdev.worker.executor import repeatable
from triggerdev.worker.executor.async_session import AsyncSession
from triggerdev.worker.executor.branches import Branch, follow
from triggerdev.worker.executor.capture import LogSink
from triggerdev.worker.executor.confinement import Confinement
from triggerdev.worker.executor.pacing import Pacing, PendingOp
from triggerdev.worker.executor.project import Channel, Project
from triggerdev.worker.executor.session import cannot_start

GRACE_SECONDS = 5.0
FLUSH_SECONDS = 1.0
PATIENCE_SECONDS = 1.0


class AsyncExecutor:
    """Executes the coroutine tasks of a project on the running loop; its messages go to a channel.

    `grace_seconds`: how long a run may take to unwind before the signal is repeated, and again before it is
    given up. `flush_seconds`: how long metadata changes may wait for others. `patience_seconds`: how long a
    run that waits keeps its slot because of timers of its own.
    """

    def __init__(self, project: Project, channel: Channel, confinement: Confinement | None = None) -> None:
        self.project = project
        self.confinement = confinement or Confinement()
        self.channel = channel
        self.loop = asyncio.get_running_loop()
        self.sink = LogSink(channel, self.loop)
        self.candidates: set[AsyncSession] = set()
        self.replaying: set[Pacing] = set()
        self.turns = 0
        self.grace_seconds = GRACE_SECONDS
        self.flush_seconds = FLUSH_SECONDS
        self.patience_seconds = PATIENCE_SECONDS
        self._runs: dict[str, AsyncSession] = {}
        self._asked: dict[int, tuple[AsyncSession, PendingOp, bool]] = {}
        self._numbers = itertools.count(1)
        self._apart: set[Branch] = set()
        self._handlers = {
            "start": self._start,
            "reply": self._reply,
            "op_done": self._op_done,
            "resume": self._resume,
            "cancel": self._cancel,
            "evict": self._evict,
        }
        http.use_worker_settings(project.settings.get("api_url"), project.settings.get("api_key"))
        follow(self.loop, self._after_turn)
        repeatable.install()

    def handle(self, message: Message) -> None:
        """Take a message of the engine; one for a run or token that is not here is ignored."""
        self._handlers[message["t"]](message)

    def find_run(self, task: "asyncio.Task[Any] | None") -> tuple[str, int] | None:
        """Say which (run, token) an asyncio task belongs to; callable from any thread."""
        if isinstance(task, Branch) and not task.session.ended:
            return task.session.id, task.session.token
        return None

    def interrupt(self, task: "asyncio.Task[Any] | None", reason: str) -> None:
        """Raise a signal in user code that blocks the loop; from a signal handler in its thread."""
        if isinstance(task, Branch) and not task.session.ended:
            raise task.session.signal_of(reason)

    @property
    def run_count(self) -> int:
        return len(self._runs)

    # -- for sessions

    def ask(
        self, session: AsyncSession, entry: PendingOp, args: dict[str, Any], is_awaited: bool = True
    ) -> None:
        """Send an operation; its reply goes to the session."""
        number = next(self._numbers)
        self._asked[number] = (session, entry, is_awaited)
        crash_point("worker.operation_unsent")
        crash_point_after_turn(self.loop, "worker.operation_sent")
        message: Message = {
            "t": "op",
            "id": number,
            "run": session.id,
            "token": session.token,
            "op": entry.op,
            "kind": entry.kind,
            "target": entry.target,
            "args": args,
        }
        heard = session.pacing.hearing.take(entry.op, is_awaited)
        if heard is not None:
            message["heard"] = heard
        session.send_operation(message)

    def finished(self, session: AsyncSession) -> None:
        """Forget a run that has ended."""
        self.candidates.discard(session)
        if self._runs.get(session.id) is session:
            del self._runs[session.id]
            if not session.alone:
                self._make_room(session)

    def _make_room(self, session: AsyncSession) -> None:
        """Let the process use what its runs may have; all of those on a loop have the same machine."""
        machine = session.start.get("machine") or DEFAULT_MACHINE
        if session.alone:
            self.confinement.enter(machine)
        else:
            self.confinement.share(machine, len(self._runs))

    def excuse(self, blamed: str, ms: float) -> None:
        """Take time in which one run blocked the loop off the clocks of the others."""
        for session in self._runs.values():
            if session.id != blamed and not session.parked:
                session.clock.excuse(ms)

    def keep(self, branch: Branch) -> None:
        """Hold a task that nobody awaits."""
        self._apart.add(branch)
        branch.add_done_callback(self._release)

    def _release(self, branch: "asyncio.Task[Any]") -> None:
        self._apart.discard(branch)
        if not branch.cancelled():
            branch.exception()

    # -- messages

    def _start(self, message: Message) -> None:
        start: RunStart = message["run"]
        previous = self._runs.get(start["id"])
        if previous is not None:  # the same run, placed here anew: the old copy must not go on
            previous.end(errors.RunEvicted("The run was started again."))
        try:
            plan = self.project.plan(start["task"])
            if plan is None:
                raise errors.UnknownTaskError(start["task"])
        except Exception as error:
            self.channel.send(cannot_start(start, error, self.project.root))
            return
        session = AsyncSession(self, start, plan, alone=message.get("alone", False))
        self._runs[session.id] = session
        self._make_room(session)
        session.begin()

    def _find(self, message: Message, field: str = "token") -> AsyncSession | None:
        session = self._runs.get(message["run"])
        return session if session is not None and session.token == message[field] else None

    def _reply(self, message: Message) -> None:
        asked = self._asked.pop(message["id"], None)
        if asked is not None:
            session, entry, is_awaited = asked
            session.answer(entry, message, is_awaited)

    def _op_done(self, message: Message) -> None:
        """Deliver a result, unless it has crossed our `park`: then `resume` brings it, under a new token."""
        session = self._find(message)
        if session is not None and not session.parked:
            session.run_metadata.take_latest(message)
            session.deliver(message["op"], message.get("result"))

    def _resume(self, message: Message) -> None:
        session = self._find(message, "old")
        if session is not None:
            session.run_metadata.take_latest(message)
            session.resume(message["token"], message["ops"])
        else:  # the engine believes it here: it has to go on from its record
            self.channel.send({"t": "evicted", "run": message["run"], "token": message["token"]})

    def _cancel(self, message: Message) -> None:
        session = self._find(message)
        if session is None:
            return
        if message.get("reason") == "lease_lost":
            session.end(errors.RunEvicted("The run goes on elsewhere."))
        else:
            session.cancel(message.get("reason") or "cancelled")

    def _evict(self, message: Message) -> None:
        session = self._find(message)
        if session is not None:
            session.end(
                errors.RunEvicted("The run leaves this process; it goes on elsewhere from its record.")
            )

    def _after_turn(self) -> None:
        self.turns += 1
        if self.replaying:
            for pacing in list(self.replaying):
                pacing.act()
        if self.candidates:
            for session in list(self.candidates):
                session.try_park()
