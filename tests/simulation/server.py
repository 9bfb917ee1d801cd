"""A simulated server: what engine.py, committer.py and dispatcher.py do round the core, without asyncio."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from tests.simulation.faults import CrashError
from tests.simulation.worker import SimWorker
from triggerdev import errors
from triggerdev.engine import messages
from triggerdev.engine.commands import attempts, finish, timers
from triggerdev.engine.context import Context, Effects
from triggerdev.engine.sharing import holds, take_over
from triggerdev.engine.store.protocol import Capacity, Tx
from triggerdev.engine.store.shared import RepeatError, SharedTx
from triggerdev.engine.tasks import TaskTable
from triggerdev.protocol import Message

if TYPE_CHECKING:
    from tests.simulation.world import World

Command = Callable[[Context], Any]
LEASE_MS = 30_000
SWEEP_MS = 10_000
_PAUSE_MS = 500


@dataclass
class Job:
    """A command on its way. `then` takes its answer, `failed` its error; `frame` are a worker's messages.

    `is_ours`: no client's, so nobody is there to whom it could be refused.
    """

    label: str
    command: Command
    then: Callable[[Any], None] = lambda _answer: None
    failed: Callable[[Exception], None] = lambda _error: None
    frame: list[Message] = field(default_factory=list)
    is_ours: bool = True
    answer: Any = None
    error: Exception | None = None
    effects: Effects | None = None


class Link:
    """A connection of a worker: frames in order both ways; what is under way is lost when it closes."""

    def __init__(self, server: "Server", worker: SimWorker) -> None:
        self.server, self.worker, self.name = server, worker, worker.name
        self.is_open = True
        self.is_ready = False
        self._there = self._here = 0
        self._inbox: list[Message] = []
        self._is_busy = False

    def deliver(self, message: Message) -> None:
        """Send a message to the worker."""
        self._there = self._pass(self._there, lambda: self.worker.hear(message))

    def send(self, frame: list[Message]) -> None:
        """Send a frame to the server."""
        self._here = self._pass(self._here, lambda: self._receive(frame))

    def _pass(self, last: int, act: Callable[[], None]) -> int:
        world = self.server.world
        at = max(last, world.time + world.latency())
        world.at(at, lambda: act() if self.is_open else world.count("message lost with its connection"))
        return at

    def _receive(self, frame: list[Message]) -> None:
        self._inbox += frame
        if not self._is_busy:
            self._drain()

    def _drain(self) -> None:
        frame, self._inbox = self._inbox, []
        self._is_busy = bool(frame)
        if frame:
            self._commit([frame])

    def _commit(self, parts: list[list[Message]]) -> None:
        """Commit frames one after the other; one that cannot be is cut into its messages."""
        if not parts:
            self._drain()
            return
        frame, rest = parts[0], parts[1:]

        def failed(error: Exception) -> None:
            if isinstance(error, errors.StorageFullError):
                self.server.world.count("messages waited for disk space")
                self.server.later(_PAUSE_MS, lambda: self._commit(parts))
            elif len(frame) > 1:
                self._commit([[message] for message in frame] + rest)
            else:
                instead = messages.instead_of(frame[0], error)
                self._commit(([[instead]] if instead else []) + rest)

        worker = self.name
        self.server.submit(
            Job(
                f"{worker} says {[_brief(message) for message in frame]}",
                lambda ctx: messages.handle(ctx, worker, frame),
                lambda _: self._commit(rest),
                failed,
                frame,
            )
        )
        self.server.pump()


def _brief(message: Message) -> tuple[Any, ...]:
    return tuple(
        message.get(name) for name in ("t", "run", "token", "op", "kind", "outcome") if name in message
    )


class Server:
    """One engine process. Everything in it but the store is gone when it crashes."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.is_up = False
        self.links: dict[str, Link] = {}
        self.crash_at: str | None = None
        self.next_sweep = 0
        self._life = 0
        self._forget()

    def _forget(self) -> None:
        self.links = {}
        self._jobs: list[Job] = []
        self.tasks = TaskTable()
        self._is_committing = self._is_claiming = self._claim_again = False
        self._due_at: int | None = None
        self._armed = 0
        self._renewed_at = 2**60  # never yet
        self._swept_at = self._stepped_at = -(2**60)
        self.skew = self.world.skew

    # -- life

    def start(self) -> None:
        """Come up: take over what a process before left, carry out what is due, load the version, connect."""
        self.is_up = True
        self.skew = self.world.skew
        self.next_sweep = self.world.time + SWEEP_MS
        self.world.log("%s starts", self.name)
        if self.world.is_shared:
            self.sweep()
        else:
            self._recover()
        self.later(self.world.rng.choice((10, 3_000)), lambda: self.world.activate(self))

    def _recover(self, more: bool = True) -> None:
        if not more:
            self.tick()
            return
        job = Job("recover", lambda ctx: timers.recover(ctx, None), self._recover)
        job.failed = lambda _: self.crash()  # it cannot start, and is started again
        self.submit(job)

    def crash(self) -> None:
        """Be gone, with everything that is not committed."""
        self.world.log("%s crashes", self.name)
        self.is_up = False
        self._life += 1
        links = self.links
        for link in links.values():
            link.is_open = False
            link.worker.link = None
        self._forget()
        self.world.server_crashed(self, [link.worker for link in links.values()])

    def later(self, ms: int, act: Callable[[], None]) -> None:
        """Do something after a time, unless the server is gone by then."""
        life = self._life
        self.world.after(ms, lambda: act() if life == self._life and self.is_up else None)

    # -- committing

    def submit(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._is_committing:
            self._is_committing = True
            self.later(self.world.rng.choice((0, 1, 4)), self._work)

    def _work(self) -> None:
        group, self._jobs = self._jobs, []
        try:
            if not self._commit(group) and len(group) > 1:
                self.world.count("group repeated one by one")
                for job in group:
                    self._commit([job])
            self._crash_point("after commit")
        except CrashError:
            self.crash()
            return
        self.later(1, lambda: self._answer(group))
        self._is_committing = bool(self._jobs)
        if self._jobs:
            self.later(1, self._work)

    def _crash_point(self, name: str) -> None:
        if self.crash_at == name:
            self.crash_at = None
            self.world.count(f"server crashed {name}")
            raise CrashError

    def _commit(self, group: list[Job]) -> bool:
        while True:
            try:
                self._transact(group)
            except RepeatError:
                self.world.count("transaction repeated")
                continue
            except (errors.EngineError, errors.StorageFullError) as error:
                is_wrong = len(group) == 1 and group[0].is_ours and isinstance(error, errors.EngineError)
                self.world.checks.that(not is_wrong, f"{group[0].label} cannot be carried out: {error}")
                for job in group:
                    job.effects, job.error = None, error
                return False
            for job in group:
                job.error = None
            return True

    def _transact(self, group: list[Job]) -> None:
        self.world.checks.begin()
        with self.world.store.write() as tx:
            for job in group:
                self._run(job, tx)
            self._crash_point("before commit")
            self.world.faults.fail_commit()
        for job in group:
            self.world.log("%s: %s", self.name, job.label)
        self.world.checks.committed()

    def _run(self, job: Job, tx: Tx) -> None:
        world = self.world
        ctx = Context(tx, self.now(), world.ids, world.rng, self.tasks)
        job.answer = job.command(ctx)
        finish.settle(ctx)
        ctx.flush()
        job.effects = ctx.effects
        world.checks.did(job.label, job.frame, tx, ctx.now)

    def _answer(self, group: list[Job]) -> None:
        for job in group:
            if job.effects is not None:
                self._carry_out(job.effects)
        for job in group:
            if job.error is not None:
                job.failed(job.error)
            else:
                job.then(job.answer)

    def _carry_out(self, effects: Effects) -> None:
        self.world.checks.told(effects)
        for worker, message in effects.messages:
            self.world.route(self, worker, message)
        for worker in effects.disowned:
            self._lose_lease(worker)
        if effects.due_at is not None:
            self._arm(effects.due_at)
        if effects.pump:
            self.world.pump_all(self)

    # -- time

    def now(self) -> int:
        """Tell the time by this server's clock."""
        return self.world.now() - self.world.skew + self.skew

    def see_jump(self) -> None:
        """Notice that the clock was put forward or back."""
        self.skew = self.world.skew
        self.tick()

    def _arm(self, due_at: int) -> None:
        if self._due_at is not None and self._due_at <= due_at:
            return
        self._due_at = due_at
        self._armed += 1
        armed = self._armed
        pause = max(1, due_at - self.now())
        self.later(pause, lambda: self.tick() if armed == self._armed else None)

    def tick(self, more: bool = True) -> None:
        """Carry out what is due."""
        if more:
            self._due_at = None
            self.submit(Job("tick", _tick, self.tick, lambda _: self.later(1000, self.tick)))

    def poll(self) -> None:
        """Look for what the news of another server should have brought, as is done each second."""
        self.tick()
        self.pump()

    def sweep(self, more: bool = True) -> None:
        """Renew leases, take over the runs of those whose lease is over."""
        if more:
            leased = self.leased
            self.submit(Job(f"sweep {leased}", lambda ctx: self._sweep(ctx, leased), self.sweep))

    def renew(self) -> None:
        """Renew leases at once, as sweeps that nobody has seen would have done."""
        leased = self.leased
        self.crash_at = None
        self._commit([Job(f"renew {leased}", lambda ctx: self._renew(ctx, leased))])
        self._renewed_at = self.world.time

    @property
    def leased(self) -> list[str]:
        return [name for name, link in self.links.items() if link.is_ready]

    def _renew(self, ctx: Context, workers: list[str]) -> None:
        self.world.checks.stage(lambda: self.world.checks.renewed(workers, LEASE_MS))
        if not self.world.is_shared:
            timers.renew(ctx, workers, LEASE_MS)
            return
        for worker in workers:
            if not cast("SharedTx", ctx.tx).renew_lease(worker, ctx.now + LEASE_MS):
                ctx.effects.disowned.add(worker)

    def _sweep(self, ctx: Context, workers: list[str]) -> bool:
        self._renew(ctx, workers)
        passed, self._renewed_at = self.world.time - self._renewed_at, self.world.time
        is_late = self.world.is_shared and passed > LEASE_MS - SWEEP_MS
        if self.world.is_shared and self._was_stepped(ctx, passed):
            for worker in ctx.tx.expired_workers(2**62):
                cast("SharedTx", ctx.tx).renew_lease(worker, ctx.now + LEASE_MS)
            return False
        return timers.take_expired(ctx, ctx.now - (LEASE_MS if is_late else 0))

    def _was_stepped(self, ctx: Context, passed: int) -> bool:
        """Tell if the clock has jumped within a lease's time: then leases say nothing."""
        expected, self._swept_at = self._swept_at + passed, ctx.now
        if passed > 0 and abs(ctx.now - expected) > 1000:
            self._stepped_at = self.world.time
        return self.world.time - self._stepped_at < LEASE_MS

    # -- workers

    def connect(self, worker: SimWorker) -> None:
        """Open a session; a shared store's server first takes over what the last of its name has left."""
        link = Link(self, worker)
        self.links[worker.name] = worker.link = link
        self._prepare(link)

    def _prepare(self, link: Link) -> None:
        name = link.name

        def ready(_answer: Any) -> None:
            link.is_ready = True
            self.pump()

        def command(ctx: Context) -> None:
            self.world.checks.stage(lambda: self.world.checks.renewed([name], LEASE_MS))
            if self.world.is_shared:
                take_over(ctx, name, LEASE_MS)
            else:
                timers.renew(ctx, [name], LEASE_MS)

        take = Job(f"{name} gets its lease", command, ready)
        take.failed = lambda _: self.later(_PAUSE_MS, lambda: self._prepare(link))
        self.submit(take)

    def _lose_lease(self, worker: str) -> None:
        link = self.links.get(worker)
        if link is not None and link.is_ready:
            self.world.count("lease lost by one who is connected")
            link.is_ready = False
            self._prepare(link)
            link.deliver({"t": "lease_lost"})

    def disconnect(self, link: Link) -> None:
        """Notice that a worker is gone; its lease goes on from now."""
        link.is_open = False
        name = link.name
        if self.links.get(name) is link:
            del self.links[name]
            self.submit(Job(f"{name} has gone", lambda ctx: self._leave(ctx, name)))

    def _leave(self, ctx: Context, worker: str) -> None:
        self.world.checks.stage(lambda: self.world.checks.renewed([worker], LEASE_MS))
        timers.renew(ctx, [worker], LEASE_MS)

    def pump(self) -> None:
        """Claim runs for every worker with room."""
        if self._is_claiming:
            self._claim_again = True
            return
        if not self.is_up:
            return
        ready = [(name, link) for name, link in self.links.items() if link.is_ready]
        room = [(name, self._capacities(link.worker.free())) for name, link in ready]
        wanted = [(name, capacities) for name, capacities in room if capacities]
        if wanted:
            self._is_claiming = True
            claim = Job("claim", lambda ctx: self._claim(ctx, wanted), self._claimed)
            claim.failed = lambda _: self.later(_PAUSE_MS, self._claim_failed)
            self.submit(claim)

    def _capacities(self, free: dict[str, int]) -> list[Capacity]:
        pairs = ((self.tasks.async_ids, free["async"]), (self.tasks.sync_ids, free["sync"]))
        return [Capacity(ids, room) for ids, room in pairs if ids and room > 0]

    def _claim(self, ctx: Context, wanted: list[tuple[str, list[Capacity]]]) -> int:
        total = 0
        for worker, capacities in wanted:
            if not self.world.is_shared or holds(ctx, worker):
                total += attempts.claim(ctx, worker, capacities, self.world.limit)
                ctx.flush()
        return total

    def _claim_failed(self) -> None:
        self._is_claiming = False
        self.pump()

    def _claimed(self, count: int) -> None:
        self._is_claiming = False
        if self._claim_again or count > 0:
            self._claim_again = False
            self.later(self.world.latency_of_claims, self.pump)


def _tick(ctx: Context) -> bool:
    more = timers.tick(ctx)
    finish.settle(ctx)
    ctx.flush()
    ctx.wake_at(ctx.tx.next_due(scheduled=ctx.tasks.scheduled_ids))
    return more
