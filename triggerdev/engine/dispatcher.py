"""Sessions of workers: what goes to them, what comes from them, and who gets the next runs."""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any

from triggerdev import errors
from triggerdev.engine import messages
from triggerdev.engine.bodies import Bodies
from triggerdev.engine.commands import attempts, timers
from triggerdev.engine.committer import Command, Committer
from triggerdev.engine.context import Context
from triggerdev.engine.leases import Leases
from triggerdev.engine.outbox import Outbox
from triggerdev.engine.store.protocol import Capacity
from triggerdev.engine.tasks import TaskTable
from triggerdev.protocol import Message

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_SOON_SECONDS = 0.02  # by then, another server's claim is over
_MAX_CLAIM = 500
_QUIET = frozenset({"logs", "spans"})

Deliver = Callable[[list[Message]], None]
Free = Callable[[], dict[str, int]]
Holds = Callable[[Context, str], bool]


class Session:
    """One connected worker. Frames of a session are committed one after the other, so their order holds.

    `first` is what has to be committed before it gets runs; again whenever its lease was lost.
    """

    def __init__(
        self, dispatcher: "Dispatcher", worker: str, deliver: Deliver, free: Free, first: Command
    ) -> None:
        self.worker = worker
        self.free = free
        self.outbox = Outbox(deliver, dispatcher.bodies, self._payload_gone, dispatcher.pump)
        self.first = first
        self.is_ready = False
        self._leases_lost = 0
        self._dispatcher = dispatcher
        self._inbox: list[Message] = []
        self._task: asyncio.Task[None] | None = None

    def receive(self, incoming: list[Message]) -> None:
        """Take messages of the worker; they are committed with whatever else has gathered."""
        self._inbox.extend(incoming)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._drain())

    def lose_lease(self) -> None:
        """Have the worker let go of all its runs; those of their lines that are not stored never will be."""
        self.is_ready = False
        self._leases_lost += 1
        self._inbox = _without_lines(self._inbox)
        self.outbox.clear()
        self.outbox.send([{"t": "lease_lost"}])

    async def flushed(self) -> None:
        """Wait until everything received so far is committed."""
        if self._task is not None:
            await asyncio.shield(self._task)  # who stops waiting does not stop what is being stored

    async def _drain(self) -> None:
        while self._inbox:
            frame, self._inbox = self._inbox, []
            await self._commit(frame)

    async def _commit(self, frame: list[Message]) -> None:
        try:
            await self._submit(frame)
        except errors.StoppedError:
            _log.debug("%d messages came after the engine had stopped", len(frame))
        except Exception as error:
            if len(frame) == 1:
                await self._refuse(frame[0], error)
                return
            for message in frame:
                await self._commit([message])

    async def _submit(self, frame: list[Message]) -> None:
        leases_lost = self._leases_lost
        while True:
            try:
                await self._dispatcher.put_away(frame)
                await self._dispatcher.submit_frame(self.worker, frame)
            except errors.EnvironmentProblemError as error:  # of what stores it, not of the message
                _log.warning("%s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                if self._leases_lost != leases_lost:
                    frame = _without_lines(frame)
            else:
                return

    def _payload_gone(self, message: Message, error: errors.MissingBodyError) -> None:
        """Fail a run that cannot start, since its payload is no longer where it was stored."""
        run = message["run"]
        failure = {"type": "INTERNAL_ERROR", "code": "TASK_INPUT_ERROR", "message": f"payload: {error}"}
        about = {"run": run["id"], "token": run["token"], "usage_ms": 0}
        self.receive([{"t": "done", "outcome": "failed", "error": failure, **about}])

    async def _refuse(self, message: Message, error: Exception) -> None:
        """See to it that no run hangs on a message that cannot be stored."""
        _log.error("message %r of worker %s cannot be handled", message.get("t"), self.worker, exc_info=error)
        instead = messages.instead_of(message, error)
        if instead is None:
            return
        try:
            await self._submit([instead])
        except Exception:
            _log.exception("nor can what stands for it")


class Dispatcher:
    """Knows the sessions; claims runs for them whenever there may be some and there is room.

    `limit`: how many runs may execute at the same time, at all workers of all servers together.
    `holds` tells, where others can take a worker's lease, whether it still has it: if not, it gets no runs
    and its lines are refused. (Its other messages are refused by the tokens of their runs.) `bodies` moves
    what is large to where it is stored and back.
    """

    def __init__(
        self,
        committer: Committer,
        tasks: Callable[[], TaskTable],
        leases: Leases,
        holds: Holds | None = None,
        limit: int | None = None,
        bodies: Bodies | None = None,
    ) -> None:
        self.bodies = bodies
        self._committer = committer
        self._tasks = tasks
        self._leases = leases
        self._holds = holds
        self._limit = limit
        self._sessions: dict[str, Session] = {}
        self._claiming = False
        self._again = False
        self._soon: asyncio.TimerHandle | None = None
        self._paused = False

    def connect(self, worker: str, deliver: Deliver, free: Free, first: Command) -> Session:
        """Open a session. `free` tells how many more async and sync runs the worker can take.

        `first`, which gives it its lease, is committed before it gets any, as often as that has to be tried.
        """
        session = Session(self, worker, deliver, free, first)
        self._sessions[worker] = session
        self._prepare(session)
        return session

    def lose_leases(self, workers: Iterable[str]) -> None:
        """Begin sessions anew whose leases turned out to be lost: this process stood still for too long."""
        for worker in workers:
            session = self._sessions.get(worker)
            if session is None or not session.is_ready:
                continue
            _log.warning(
                "this server was not heard of for more than the %g s of its lease (was it stopped, was the"
                " machine asleep?): what it executed goes on at another server, and is ended here",
                self._leases.length,
            )
            self._prepare(session)
            session.lose_lease()

    def _prepare(self, session: Session) -> None:
        def done(future: "asyncio.Future[Any]") -> None:
            error = None if future.cancelled() else future.exception()
            if error is None:
                session.is_ready = True
                self.pump()
            elif not isinstance(error, errors.StoppedError):
                _log.warning("worker %s has to wait: %s", session.worker, error)
                again = functools.partial(self._prepare, session)
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, again)

        self._committer.submit(session.first).add_done_callback(done)

    def disconnect(self, worker: str) -> None:
        """Close a session. Its lease goes on from now; if that cannot be stored, from when it was last."""
        session = self._sessions.pop(worker, None)
        if session is not None:
            session.outbox.clear()
            future = self._committer.submit(lambda ctx: timers.renew(ctx, [worker], self._leases.length_ms))
            future.add_done_callback(_log_failure)

    @property
    def is_claiming(self) -> bool:
        return self._claiming

    @property
    def workers(self) -> list[str]:
        return list(self._sessions)

    @property
    def leased(self) -> list[str]:
        """The workers that have a lease, as far as is known here."""
        return [worker for worker, session in self._sessions.items() if session.is_ready]

    def pause(self) -> None:
        """Give out no more runs; what executes goes on."""
        self._paused = True

    def tell(self, out: list[tuple[str, Message]]) -> None:
        """Deliver messages, one list for each worker; those for a worker that is gone are dropped."""
        by_worker: dict[str, list[Message]] = {}
        for worker, message in out:
            by_worker.setdefault(worker, []).append(message)
        for worker, batch in by_worker.items():
            session = self._sessions.get(worker)
            if session is None:
                continue
            try:
                session.outbox.send(batch)
            except Exception:  # what it does not get, it will not answer: its lease ends
                _log.exception("%d messages cannot be delivered to worker %s", len(batch), worker)

    async def delivered(self) -> None:
        """Wait until what was given out has reached its worker, stored bodies included."""
        for session in list(self._sessions.values()):
            await session.outbox.settled()

    async def put_away(self, frame: list[Message]) -> None:
        """Store the large bodies of messages. Raises StorageFullError, StorageUnavailableError."""
        if self.bodies is not None and any(map(self.bodies.is_large, frame)):
            await self.bodies.put_all_away(frame)

    def close(self) -> None:
        """Read no more of what is stored."""
        for session in self._sessions.values():
            session.outbox.clear()

    def submit_frame(self, worker: str, frame: list[Message]) -> "asyncio.Future[Any]":
        future = self._committer.submit(lambda ctx: self._handle(ctx, worker, frame))
        if any(message["t"] not in _QUIET for message in frame):
            self.pump()
        return future

    def _handle(self, ctx: Context, worker: str, frame: list[Message]) -> None:
        has_lines = any(message["t"] == "logs" for message in frame)
        if has_lines and self._holds is not None and not self._holds(ctx, worker):
            frame = _without_lines(frame)
        messages.handle(ctx, worker, frame)

    def pump(self) -> None:
        """Claim runs for every session with room; while a claim is under way, once more after it."""
        if self._claiming:
            self._again = True
            return
        if self._paused:
            return
        ready = [(worker, session) for worker, session in self._sessions.items() if session.is_ready]
        room = [(worker, self._capacities(session)) for worker, session in ready]
        wanted = [(worker, capacities) for worker, capacities in room if capacities]
        if wanted:
            self._claiming = True  # one at a time: what it delivers changes the room that is left
            claim = functools.partial(_claim, wanted=wanted, limit=self._limit, holds=self._holds)
            self._committer.submit(claim).add_done_callback(self._claimed)

    def pump_soon(self) -> None:
        """Claim again when another server, which is in the way, has had time to end what it does."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_SOON_SECONDS, self._pump_now)

    def _pump_now(self) -> None:
        self._soon = None
        self.pump()

    def _capacities(self, session: Session) -> list[Capacity]:
        free = session.free()
        tasks = self._tasks()
        starting = session.outbox.starting  # given out, and the worker does not count them yet
        pairs = (
            (tasks.async_ids, free.get("async", 0) - starting),
            (tasks.sync_ids, free.get("sync", 0) - starting),
        )
        return [Capacity(ids, min(room, _MAX_CLAIM)) for ids, room in pairs if ids and room > 0]

    def _claimed(self, future: "asyncio.Future[int]") -> None:
        self._claiming = False
        error = future.exception() if not future.cancelled() else None
        if error is not None:
            _log.warning("runs cannot be claimed: %s", error)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.pump)
            return
        if self._again or (not future.cancelled() and future.result() > 0):
            self._again = False
            self.pump()


def _claim(
    ctx: Context, wanted: list[tuple[str, list[Capacity]]], limit: int | None, holds: Holds | None
) -> int:
    total = 0
    for worker, capacities in wanted:
        if holds is None or holds(ctx, worker):
            total += attempts.claim(ctx, worker, capacities, limit)
            ctx.flush()
    return total


def _without_lines(frame: list[Message]) -> list[Message]:
    return [message for message in frame if message["t"] != "logs"]


def _log_failure(future: "asyncio.Future[Any]") -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        _log.warning("%s", error)
