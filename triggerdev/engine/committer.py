"""Group commit: one thread that takes whatever commands have gathered and commits them together."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from triggerdev import _crash, errors
from triggerdev._crash import crash_point
from triggerdev.engine.commands import finish
from triggerdev.engine.context import Context, Effects
from triggerdev.engine.store.protocol import Store, Tx
from triggerdev.engine.store.shared import RepeatError

_log = logging.getLogger(__name__)
_MAX_GROUP = 256
_LOOK_SECONDS = 1.0


Command = Callable[[Context], Any]


@dataclass(slots=True)
class _Job:
    command: Command
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None
    effects: Effects | None = None


class Committer:
    """Runs commands in order, each seeing those before it; answers only after the commit is on disk.

    If a group fails it is rolled back and its commands are repeated singly, so that a bad one fails alone.
    `before_commit` sees each command's effects in its transaction. `on_effects` is called on the loop, for
    each commit in order, before its callers are answered. `patience`: for how many seconds commands wait
    behind a commit that does not end, since the database went away under it; None: for ever.
    """

    def __init__(
        self,
        store: Store,
        make_context: Callable[[Tx], Context],
        on_effects: Callable[[Effects], None],
        before_commit: Callable[[Tx, Effects], None] | None = None,
        patience: float | None = None,
    ) -> None:
        self._store = store
        self._before_commit = before_commit
        self._make_context = make_context
        self._on_effects = on_effects
        self._patience = patience
        self._busy_since: float | None = None
        self._jobs: list[_Job] = []
        self._ready = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="triggerdev-commit", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        if self._patience is not None:
            self._refuse_late(self._patience)

    def submit(self, command: Command) -> "asyncio.Future[Any]":
        """Queue a command; the future has its result once it is durable."""
        assert self._loop is not None
        job = _Job(command, self._loop.create_future())
        with self._ready:
            if self._stopping:
                job.future.set_exception(errors.StoppedError())
                return job.future
            self._jobs.append(job)
            self._ready.notify()
        return job.future

    async def stop(self) -> None:
        """Finish what is queued and end the thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._loop is None:
            return
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _refuse_late(self, patience: float) -> None:
        """Refuse what waits behind a commit that takes too long; look again in a second, until the end."""
        assert self._loop is not None
        late: list[_Job] = []
        with self._ready:
            if self._busy_since is not None and time.monotonic() - self._busy_since > patience:
                late, self._jobs = self._jobs, []
            if not self._stopping:
                self._loop.call_later(_LOOK_SECONDS, self._refuse_late, patience)
        for job in late:
            if not job.future.done():
                job.future.set_exception(
                    errors.StorageUnavailableError("The database does not answer; nothing was written.")
                )

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._jobs and not self._stopping:
                    self._ready.wait()
                group, self._jobs = self._jobs[:_MAX_GROUP], self._jobs[_MAX_GROUP:]
            if not group:
                return
            self._busy_since = time.monotonic()
            if not self._commit(group) and len(group) > 1 and not _is_unreachable(group):
                for job in group:
                    self._commit([job])
            _crash_points(group, "after_commit")
            self._busy_since = None
            self._answer(group)

    def _commit(self, group: list[_Job]) -> bool:
        try:
            while not self._transact(group):
                pass  # the store says when it has been enough
        except Exception as error:
            for each in group:
                each.effects = None
                each.error = error
            return False
        for each in group:
            each.error = None
        return True

    def _transact(self, group: list[_Job]) -> bool:
        """Run a group in one transaction. False if that did not happen and may be repeated."""
        try:
            with self._store.write() as tx:
                for job in group:
                    if job is not group[0]:
                        crash_point("group.half_written")
                    self._run(job, tx)
                _crash_points(group, "before_commit")
        except RepeatError:
            return False
        return True

    def _run(self, job: _Job, tx: Tx) -> None:
        context = self._make_context(tx)
        job.result = job.command(context)
        finish.settle(context)
        context.flush()
        job.effects = context.effects
        if self._before_commit is not None:
            self._before_commit(tx, context.effects)

    def _answer(self, group: list[_Job]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, group)
        except RuntimeError:
            _log.debug("the loop is closed: %d answers are dropped", len(group))

    def _deliver(self, group: list[_Job]) -> None:
        for job in group:
            if job.effects is not None:
                self._carry_out(job.effects)
        for job in group:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _carry_out(self, effects: Effects) -> None:
        try:
            self._on_effects(effects)
        except Exception:  # the commit stands: its callers must be answered
            _log.exception("effects of a commit failed")


def _is_unreachable(group: list[_Job]) -> bool:
    """Tell if a group failed because there is no database: then no part of it would fare better."""
    return isinstance(group[0].error, errors.StorageUnavailableError)


def _crash_points(group: list[_Job], moment: str) -> None:
    """Come to the crash points that the commands of a group have named."""
    if _crash.armed is not None:
        for name in [name for job in group if job.effects for name in job.effects.points]:
            crash_point(f"{name}.{moment}")
