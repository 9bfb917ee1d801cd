"""Executes plain functions: one run at a time, in the main thread of a process to itself."""

import itertools
from typing import Any

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.protocol import DEFAULT_MACHINE, Message, RunStart
from triggerdev.sdk import http
from triggerdev.sdk import session as sessions
from triggerdev.sdk.calls import drive
from triggerdev.worker.executor.capture import LogSink
from triggerdev.worker.executor.confinement import Confinement
from triggerdev.worker.executor.project import BlockingChannel, Project
from triggerdev.worker.executor.session import cannot_start
from triggerdev.worker.executor.sync_session import SyncSession

FLUSH_SECONDS = 1.0


class SyncExecutor:
    """Executes one plain function at a time; between its operations it blocks on the channel.

    `flush_seconds`: how long metadata changes may wait for others.
    """

    def __init__(
        self, project: Project, channel: BlockingChannel, confinement: Confinement | None = None
    ) -> None:
        self.project = project
        self.confinement = confinement or Confinement()
        self.channel = channel
        self.sink = LogSink(channel)
        self.flush_seconds = FLUSH_SECONDS
        self._numbers = itertools.count(1)
        self._session: SyncSession | None = None
        http.use_worker_settings(project.settings.get("api_url"), project.settings.get("api_key"))

    def execute(self, message: Message) -> None:
        """Run the function that a start message names to its end, and send its outcome."""
        start: RunStart = message["run"]
        try:
            plan = self.project.plan(start["task"])
            if plan is None:
                raise errors.UnknownTaskError(start["task"])
        except Exception as error:
            self.channel.send(cannot_start(start, error, self.project.root))
            return
        self.confinement.enter(start.get("machine") or DEFAULT_MACHINE)
        session = SyncSession(self, start, plan)
        token = sessions.enter(session)
        self._session = session
        session.spans.enter_attempt()
        try:
            outcome = drive(session.attempt.execute())
            self._finish(session, outcome)
        finally:
            session.spans.leave_attempt()
            self._session = None
            sessions.leave(token)
            self.confinement.lift()

    def _finish(self, session: SyncSession, outcome: Message) -> None:
        if outcome["outcome"] == "cancelled":
            drive(session.attempt.cancelled("cancelled"))
        if session.signal is None:
            session.run_metadata.send_last()
        session.ended = True
        session.clock.stop()
        session.close()
        session.spans.end_attempt(outcome)
        session.finish_lines()
        if outcome["outcome"] == "evicted":
            crash_point("worker.evicting")
            self.channel.send({"t": "evicted", "run": session.id, "token": session.token})
            return
        done = {"t": "done", "run": session.id, "token": session.token, **outcome}
        usage = round(session.clock.total_ms)
        worn = {"worn": True} if self.confinement.is_worn() else {}
        self.channel.send({**done, "usage_ms": usage, **session.peak(), **worn})
        crash_point("worker.done_sent")

    def interrupt(self, reason: str) -> None:
        """End the run from a signal handler in the main thread: "cancelled", "timed_out" or "evicted".

        Raises the signal if user code is running or the run waits; inside the framework it is raised as soon
        as user code goes on.
        """
        if self._session is not None and not self._session.ended:
            self._session.interrupt(self._session.signal_of(reason))

    def find_run(self) -> tuple[str, int] | None:
        """Say which (run, token) executes."""
        return (self._session.id, self._session.token) if self._session is not None else None

    def ask(
        self, session: SyncSession, op_id: str, kind: str, target: str | None, args: dict[str, Any]
    ) -> int:
        """Send an operation and give the number of its reply."""
        number = next(self._numbers)
        crash_point("worker.operation_unsent")
        session.send(
            {
                "t": "op",
                "id": number,
                "run": session.id,
                "token": session.token,
                "op": op_id,
                "kind": kind,
                "target": target,
                "args": args,
            }
        )
        crash_point("worker.operation_sent")
        return number
