"""A world in which an engine lives: virtual time, servers, workers, clients, all decided by one seed."""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from tests.simulation.checks import Checks
from tests.simulation.clients import Clients
from tests.simulation.faults import HOUR, MINUTE, SECOND, Faults
from tests.simulation.server import LEASE_MS, SWEEP_MS, Job, Link, Server
from tests.simulation.versions import FINAL_VERSION, VERSIONS, activate, limits_of
from tests.simulation.watched import SharedWatchedStore
from tests.simulation.worker import SimWorker
from triggerdev.engine.clock import IdSource
from triggerdev.engine.model import Status
from triggerdev.protocol import Message

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HORIZON = 8 * MINUTE  # until then things go wrong
_END = 400 * HOUR
_MOST_EVENTS = 60_000
_CALM = 30 * SECOND
_MEASURE_MS = 10 * SECOND


class World:
    """One simulation. `remember`: how many of the last events its trace has, None for all."""

    def __init__(self, seed: int, counts: Counter[str] | None = None, *, remember: int | None = 400) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.time = 0
        self.skew = self._most_skew = 0
        self.duplicates = 0.0
        self.slowness = 1
        self.latency_of_claims = 1
        self.counts: Counter[str] = Counter() if counts is None else counts
        self.events = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._trace: deque[tuple[int, str, tuple[Any, ...]]] = deque(maxlen=remember)
        self._trouble_at = 0
        self._jumped_at = -_MEASURE_MS
        self.ids = IdSource(random.Random(seed))
        self.store = SharedWatchedStore()
        self.checks = Checks(self, self.store)
        self.faults = Faults(self)
        self.version = 0
        self.is_shared = self.rng.random() < 0.4
        self.limit = self.rng.choice((None, None, 2, 4))
        self.servers = [Server(self, f"s{n}") for n in range(1 + self.is_shared)]
        self.workers: list[SimWorker] = []

    # -- life

    def run(self) -> None:
        """Run to the end. Raises BrokenPromiseError."""
        self._begin()
        self._until(HORIZON)
        self._end()

    def _begin(self) -> None:
        self.store.open()
        for server in self.servers:
            server.start()
        for n in range(self.rng.randint(1, 3)):
            worker = SimWorker(self, f"w{n}", self.rng.randint(1, 5), self.rng.randint(1, 2))
            self.workers.append(worker)
            self.join(worker)
        Clients(self).schedule(HORIZON)
        self.faults.schedule(HORIZON)

    def _end(self) -> None:
        self.log("no more faults")
        self.faults.end()
        for server in self.servers:
            server.crash_at = None
        self.switch_version(FINAL_VERSION)
        Clients(self).free_queues()
        self._until(_END)
        while self._complete_a_token():
            self._until(_END)
        self.at(
            self.time + 31 * MINUTE, lambda: self.servers[0].tick()
        )  # ends batches that were never filled
        self._until(_END)
        self.checks.check_end()
        left = [execution.id for worker in self.workers for execution in worker.runs.values()]
        self.checks.that(not left, f"still held by workers: {left}")

    def _until(self, end: int) -> None:
        """Carry out events until a time, or until nothing happens any more."""
        while self._queue or self._is_busy():
            sweeper = min(self.servers, key=lambda server: server.next_sweep)
            at = self._queue[0][0] if self._queue else sweeper.next_sweep
            if at > end:
                break
            self.events += 1
            self.checks.that(self.events < _MOST_EVENTS, "the simulation does not come to an end")
            if sweeper.next_sweep > at:
                self._step()
            elif at - sweeper.next_sweep > _CALM and not self._is_busy():
                self._skip(at - 1)
            else:
                self._sweep(sweeper)
        self.time = max(self.time, min(end, HORIZON))

    def _step(self) -> None:
        at, _, act = heapq.heappop(self._queue)
        self.time = max(self.time, at)
        act()

    def _is_busy(self) -> bool:
        return any(run.status is Status.EXECUTING for run in self.checks.tables.runs.values())

    def _skip(self, at: int) -> None:
        """Let time pass in which there would be nothing but sweeps: leases are renewed at its end."""
        self.time = at
        for server in self.servers:
            server.next_sweep = at + SWEEP_MS
            if server.is_up:
                server.renew()

    def _sweep(self, server: Server) -> None:
        self.time = max(self.time, server.next_sweep)
        server.next_sweep = self.time + SWEEP_MS
        if server is self.servers[0]:
            self.checks.nothing_is_forgotten()
        if server.is_up:
            server.sweep()

    def _complete_a_token(self) -> bool:
        waiting = [token for token in self.checks.tables.tokens.values() if token.status == "WAITING"]
        if waiting:
            Clients(self).complete(waiting[0].id)
        return bool(waiting)

    # -- time

    def now(self) -> int:
        """Tell the time by the clock of servers and workers."""
        return START + self.time + self.skew

    def at(self, time: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (time, next(self._numbers), act))

    def after(self, ms: int, act: Callable[[], None]) -> None:
        self.at(self.time + ms, act)

    def jump(self, by: int) -> None:
        """Put the clock forward or back. Servers of a shared store see it when they measure the next time.

        A server that is alone does not follow a clock that jumps: it sees it when it starts again.
        """
        self.skew += by
        self._most_skew = max(self._most_skew, self.skew)
        self._jumped_at = self.time
        self.trouble()
        measured_after = self.rng.randrange(_MEASURE_MS)
        for server in self.servers:
            if self.is_shared:
                server.later(measured_after, server.see_jump)
            elif server.is_up:
                server.crash()

    @property
    def clocks_differ(self) -> bool:
        """Tell whether leases may be there from a server that had not seen a jump yet, for one that has."""
        return self.time - self._jumped_at < _MEASURE_MS + LEASE_MS

    def right_the_clock(self) -> None:
        """Put the clock to the latest that it ever showed, so that whatever waits for a time will see it."""
        if self._most_skew > self.skew:
            self.jump(self._most_skew - self.skew)

    def latency(self) -> int:
        return self.rng.choice((1, 1, 2, 5, 20)) * self.slowness

    # -- notes

    def log(self, text: str, *values: Any) -> None:
        self._trace.append((self.time, text, values))

    def trace(self) -> list[str]:
        """Give the last events."""
        return [f"{time / 1000:>12.3f}  {text % values}" for time, text, values in self._trace]

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def trouble(self) -> None:
        """Note that for a while things may be late."""
        self._trouble_at = self.time

    @property
    def is_calm(self) -> bool:
        """Tell whether there was no fault for a while, so that nothing may be late."""
        is_whole = all(server.is_up for server in self.servers) and self.slowness == 1
        return is_whole and self.time - self._trouble_at > _CALM and not self.faults.is_active

    # -- servers

    def kind_of(self, task: str) -> str:
        return "sync" if task == "plain" else "async"

    def current_tasks(self) -> set[str]:
        return {task["id"] for task in VERSIONS[self.version]["tasks"]}

    def activate(self, server: Server) -> None:
        """Have a server register the current version."""
        version = self.version

        def done(tasks: Any) -> None:
            server.tasks = tasks
            server.pump()
            server.tick()

        def register(ctx: Any) -> Any:
            limits = limits_of(VERSIONS[version])
            self.checks.rule(lambda rules: rules.declared.update(limits))
            return activate(ctx, version)

        job = Job(f"activate {version}", register, done)
        job.failed = lambda _: server.later(500, lambda: self.activate(server))
        server.submit(job)

    def switch_version(self, version: int | None = None) -> None:
        """Make another version the current one; runs that only wait leave their processes."""
        self.trouble()
        self.version = self.rng.randrange(len(VERSIONS)) if version is None else version
        for server in self.servers:
            server.later(self.rng.choice((1, 2_000)), lambda server=server: self.activate(server))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        for worker in self.workers:
            if worker.link is not None and not worker.is_frozen and self.rng.random() < 0.5:
                worker.evict([each for each in worker.runs.values() if each.is_parked])

    def server_crashed(self, server: Server, workers: list[SimWorker]) -> None:
        """See what becomes of a crashed server and its workers: they die with it or look for another one."""
        self.trouble()
        dies = not self.is_shared and self.rng.random() < 0.6
        for worker in workers:
            if dies or self.rng.random() < 0.3:
                worker.drop_all()
            self.after(self.rng.choice((100, 3 * SECOND)), lambda worker=worker: self.join(worker))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        self.after(self.rng.choice((200, 2 * SECOND, 2 * MINUTE)), server.start)
        for other in self.servers:
            other.later(SECOND, other.poll)

    # -- workers

    def join(self, worker: SimWorker) -> None:
        """Connect a worker to a server, when there is one.

        A name may come back on a shared store, but is never at two servers.
        """
        self.trouble()
        up = [server for server in self.servers if server.is_up]
        if worker.link is not None:
            return
        if not up:
            self.after(SECOND, lambda: self.join(worker))
            return
        server = self.rng.choice(up)
        is_known_elsewhere = any(worker.name in each.links for each in self.servers if each is not server)
        if not self.is_shared or is_known_elsewhere:
            worker.name = f"{worker.name.partition('.')[0]}.{next(self._numbers)}"
        self.log("%s connects, with %s", worker.name, list(worker.runs))
        before = list(worker.runs.values())
        self.after(self.rng.choice((1, 5 * SECOND, 30 * SECOND)), lambda: worker.let_go(before))
        server.connect(worker)

    def worker_gone(self, worker: SimWorker, noticed_after: int) -> None:
        """Cut a worker's connection; its server notices after a while."""
        self.trouble()
        link: Link = worker.link
        worker.link = None
        link.is_open = False
        link.server.later(noticed_after, lambda: link.server.disconnect(link))

    def thaw(self, worker: SimWorker) -> None:
        """Let a stopped worker go on, with all that it had."""
        worker.is_frozen = False
        self.log("%s goes on, with %s", worker.name, list(worker.runs))
        self.join(worker)
        heard, worker.pending_frames = worker.pending_frames, []
        for message in heard:
            worker.hear(message)

    def route(self, server: Server, name: str, message: Message) -> None:
        """Bring a message to a worker: directly, or as mail by way of the server that has it."""
        link = server.links.get(name)
        if link is not None:
            link.deliver(message)
            return
        for other in self.servers:
            if name in other.links:
                self.count("message by mail")
                other.links[name].deliver(message)
                return
        self.count("message for nobody")

    def pump_all(self, server: Server) -> None:
        """Look for runs to give out, here now and elsewhere when the news come."""
        server.pump()
        for other in self.servers:
            if other is not server:
                other.later(self.rng.choice((1, 5, SECOND)), other.pump)
