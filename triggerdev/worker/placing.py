"""Which worker gets a run: the shared event loop, a process of the warm pool, or one for a suspect alone."""

from collections import deque

from triggerdev.protocol import Message
from triggerdev.worker.events import Limits
from triggerdev.worker.version_process import VersionProcess
from triggerdev.worker.worker_process import WorkerProcess


class Pool:
    """The workers of the current version that can take runs.

    `suspects` are runs that executed in a shared process when it died: each runs alone until it ends, so that
    the one that kills its process is found and the others are not disturbed again.
    """

    def __init__(self, limits: Limits) -> None:
        self.suspects: set[str] = set()
        self.waiting_suspects: deque[Message] = deque()
        self._limits = limits
        self._version: VersionProcess | None = None
        self._idle: list[WorkerProcess] = []
        self._shared: list[WorkerProcess] = []
        self._solo: set[WorkerProcess] = set()

    @property
    def version(self) -> VersionProcess | None:
        return self._version

    def switch(self, version: VersionProcess | None) -> None:
        """Take workers from another version from now on, and warm it up."""
        self._version = version
        self._idle, self._shared = [], []
        if version is None:
            return
        kinds = set(version.kinds.values())
        if "async" in kinds:
            self._shared.append(version.fork("async"))
        if "sync" in kinds:
            self._idle += [version.fork("sync") for _ in range(self._limits.spares)]

    def take_async(self, version: VersionProcess, run: str) -> WorkerProcess | None:
        """Choose a loop; None for a suspect that has to wait until others have run alone."""
        if run in self.suspects:
            return self._take_solo(version)
        for worker in self._shared:
            if worker.blocked_run is None and not worker.is_stuck:
                return worker
        worker = version.fork("async")
        self._shared.append(worker)
        return worker

    def take_sync(self, version: VersionProcess) -> WorkerProcess:
        """Choose an idle process, the last one used first, and keep spares for the next runs."""
        worker = self._idle.pop() if self._idle else version.fork("sync")
        while len(self._idle) < self._limits.spares:
            self._idle.insert(0, version.fork("sync"))
        return worker

    def give_back(self, worker: WorkerProcess) -> bool:
        """Offer a worker whose last run has gone; false when it is not needed any more."""
        if worker.is_retiring or worker.is_gone:
            return True
        if self._version is None or worker.version != self._version.name or worker.is_solo:
            return False
        if worker.kind == "async":
            healthy = [other for other in self._shared if other.blocked_run is None and not other.is_stuck]
            if healthy[:1] in ([], [worker]):
                return True
            self._shared.remove(worker)
            return False
        if worker.executions >= self._limits.executions or len(self._idle) >= self._limits.idle:
            return False
        if worker not in self._idle:
            self._idle.append(worker)
        return True

    def forget(self, worker: WorkerProcess) -> None:
        """Drop a worker that has ended."""
        if worker in self._idle:
            self._idle.remove(worker)
        if worker in self._shared:
            self._shared.remove(worker)
        self._solo.discard(worker)

    def acquit(self, worker: WorkerProcess, run: str) -> None:
        """Stop to count a suspect that has come as far as to wait; its process stays its own."""
        self.suspects.discard(run)
        self._solo.discard(worker)

    def next_suspect(self) -> Message | None:
        """Take the next waiting suspect if there is room for it."""
        if self.waiting_suspects and len(self._solo) < self._limits.solo:
            return self.waiting_suspects.popleft()
        return None

    def _take_solo(self, version: VersionProcess) -> WorkerProcess | None:
        if len(self._solo) >= self._limits.solo:
            return None
        worker = version.fork("async")
        worker.is_solo = True
        self._solo.add(worker)
        return worker
