"""What goes wrong, when: everything is decided by the seed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.engine.store.shared import RepeatError

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.worker import SimWorker
    from tests.simulation.world import World

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
YEAR = 365 * 24 * HOUR
_JUMPS = (-YEAR, -HOUR, -SECOND, SECOND, HOUR, YEAR)
_MOST = 10
_BETWEEN_JUMPS = 15 * SECOND  # so that every server has seen the last one


class CrashError(BaseException):
    """The server's process ends here."""


class Faults:
    """Injects faults until the horizon; afterwards everything works again."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.rng
        self._repeats = 0.0
        self._is_full = False
        self._jumped_at = -_BETWEEN_JUMPS
        self._kinds: tuple[Callable[[], None], ...] = (
            self._crash,
            self._crash_at_commit,
            self._kill_worker,
            self._freeze_worker,
            self._lose_processes,
            self._lose_processes,
            self._freeze_worker,
            self._evict,
            self._fill_disk,
            self._fill_disk,
            self._conflicts,
            self._jump,
            self._switch_version,
            self._duplicate,
            self._slow,
        )

    def schedule(self, horizon: int) -> None:
        """Choose what happens, and when."""
        for _ in range(self._rng.randint(1, _MOST)):
            self._world.at(self._rng.randrange(horizon), self._rng.choice(self._kinds))

    def end(self) -> None:
        """Let everything work from now on."""
        self._repeats, self._is_full = 0.0, False
        self._world.duplicates = 0.0
        self._world.slowness = 1
        self._world.after(_BETWEEN_JUMPS, self._world.right_the_clock)

    @property
    def is_active(self) -> bool:
        """Tell whether commits fail."""
        return self._is_full or self._repeats > 0

    def fail_commit(self) -> None:
        """Fail a commit, if that is the fault at hand."""
        if self._is_full:
            self._world.count("disk full")
            raise errors.StorageFullError("the disk is full")
        if self._rng.random() < self._repeats:
            raise RepeatError("another transaction was in the way")

    def _log(self, name: str) -> None:
        self._world.log("fault: %s", name)
        self._world.trouble()
        self._world.count(name)

    def _a_server(self) -> "Server | None":
        up = [server for server in self._world.servers if server.is_up]
        return self._rng.choice(up) if up else None

    def _a_worker(self) -> "SimWorker | None":
        there = [worker for worker in self._world.workers if worker.link is not None and not worker.is_frozen]
        busy = [worker for worker in there if any(not each.is_parked for each in worker.runs.values())]
        return self._rng.choice(busy or there) if there else None

    # -- kinds

    def _crash(self) -> None:
        server = self._a_server()
        if server is not None:
            self._log("server crashed")
            server.crash()

    def _crash_at_commit(self) -> None:
        server = self._a_server()
        if server is not None:
            server.crash_at = self._rng.choice(("before commit", "after commit"))

    def _kill_worker(self) -> None:
        worker = self._a_worker()
        if worker is not None:
            self._log("worker died")
            worker.drop_all()
            self._world.worker_gone(worker, self._rng.choice((1, 500, 20 * SECOND)))
            self._world.after(
                self._rng.choice((100, 5 * SECOND, 90 * SECOND)), lambda: self._world.join(worker)
            )

    def _freeze_worker(self) -> None:
        worker = self._a_worker()
        if worker is not None:
            self._log("worker stopped beyond its lease")
            worker.is_frozen = True
            self._world.worker_gone(worker, self._rng.choice((1, 5 * SECOND)))
            self._world.after(self._rng.choice((20, 50, 80)) * SECOND, lambda: self._world.thaw(worker))

    def _lose_processes(self) -> None:
        worker = self._a_worker()
        if worker is not None and worker.runs:
            chosen = self._rng.sample(list(worker.runs.values()), self._rng.randint(1, len(worker.runs)))
            self._log("worker's processes died")
            worker.lose_processes(chosen)

    def _evict(self) -> None:
        for worker in self._world.workers:
            if worker.link is not None and not worker.is_frozen:
                worker.evict([each for each in worker.runs.values() if each.is_parked])

    def _fill_disk(self) -> None:
        self._is_full = True
        self._world.after(self._rng.choice((100, 20 * SECOND)), self._empty_disk)

    def _empty_disk(self) -> None:
        self._is_full = False
        self._world.trouble()

    def _conflicts(self) -> None:
        self._repeats = self._rng.choice((0.1, 0.6))
        self._world.after(20 * SECOND, self._no_conflicts)

    def _no_conflicts(self) -> None:
        self._repeats = 0.0
        self._world.trouble()

    def _jump(self) -> None:
        by = self._rng.choice(_JUMPS)
        if self._world.time - self._jumped_at < _BETWEEN_JUMPS:
            return
        self._jumped_at = self._world.time
        self._log(f"clock {'forward' if by > 0 else 'back'} by {_span(by)}")
        self._world.jump(by)

    def _switch_version(self) -> None:
        self._log("version switched")
        self._world.switch_version()

    def _duplicate(self) -> None:
        self._world.duplicates = 0.3

    def _slow(self) -> None:
        self._log("slow connections")
        self._world.slowness = self._rng.choice((20, 200))
        self._world.after(MINUTE, self._fast)

    def _fast(self) -> None:
        self._world.slowness = 1
        self._world.trouble()


def _span(ms: int) -> str:
    return {SECOND: "a second", HOUR: "an hour", YEAR: "a year"}[abs(ms)]
