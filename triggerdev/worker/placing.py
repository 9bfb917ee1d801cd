"""Which worker gets a run: the loop of its machine, a process of the warm pool, or one for suspects."""

import contextlib

from triggerdev.protocol import DEFAULT_MACHINE
from triggerdev.worker.events import Limits
from triggerdev.worker.suspects import Suspects
from triggerdev.worker.version_process import VersionProcess
from triggerdev.worker.worker_process import WorkerProcess


class Pool:
    """The workers of the current version that can take runs."""

    def __init__(self, limits: Limits) -> None:
        self.suspects = Suspects(limits.solo)
        self._limits = limits
        self._version: VersionProcess | None = None
        self._idle: list[WorkerProcess] = []
        self._shared: list[WorkerProcess] = []
        self._apart: dict[int, WorkerProcess] = {}

    @property
    def version(self) -> VersionProcess | None:
        return self._version

    def switch(self, version: VersionProcess | None) -> None:
        """Take workers from another version from now on, and warm it up."""
        self._version = version
        self._idle, self._shared, self._apart = [], [], {}
        if version is None:
            return
        kinds = set(version.kinds.values())
        if "async" in kinds:
            with contextlib.suppress(OSError):  # as for spares
                self._shared.append(version.fork("async", _usual_machine(version)))
        if "sync" in kinds:
            self._keep_spares(version)

    def take_async(self, version: VersionProcess, run: str, machine: str) -> WorkerProcess:
        """Choose a loop: the one that the runs of a machine share, for a suspect that of its group."""
        group = self.suspects.group_of(run)
        if group is not None:
            return self._take_apart(version, group, machine)
        for worker in self._shared:
            if _is_healthy(worker, machine):
                return worker
        worker = version.fork("async", machine)
        self._shared.append(worker)
        return worker

    def take_sync(self, version: VersionProcess) -> WorkerProcess:
        """Choose an idle process, the last one used first, and keep spares for the next runs."""
        worker = self._idle.pop() if self._idle else version.fork("sync")
        self._keep_spares(version)
        return worker

    def _keep_spares(self, version: VersionProcess) -> None:
        with contextlib.suppress(OSError):  # no files are left: the run that needs a process will say so
            while len(self._idle) < self._limits.spares:
                self._idle.insert(0, version.fork("sync"))

    def give_back(self, worker: WorkerProcess) -> bool:
        """Offer a worker whose last run has gone; false when it is not needed any more."""
        if worker.is_retiring or worker.is_gone:
            return True
        if self._version is None or worker.version != self._version.name or worker.is_apart:
            return False
        if worker.kind == "async":
            return self._keep_loop(worker)
        if (
            worker.is_worn
            or worker.executions >= self._limits.executions
            or len(self._idle) >= self._limits.idle
        ):
            return False
        if worker not in self._idle:
            self._idle.append(worker)
        return True

    def _keep_loop(self, worker: WorkerProcess) -> bool:
        """Keep one loop for each machine, the first that is well."""
        healthy = [other for other in self._shared if _is_healthy(other, worker.machine)]
        if not worker.is_worn and healthy[:1] in ([], [worker]):
            return True
        self._shared.remove(worker)
        return False

    def forget(self, worker: WorkerProcess) -> None:
        """Drop a worker that has ended."""
        if worker in self._idle:
            self._idle.remove(worker)
        if worker in self._shared:
            self._shared.remove(worker)
        for group in [group for group, other in self._apart.items() if other is worker]:
            del self._apart[group]

    def _take_apart(self, version: VersionProcess, group: int, machine: str) -> WorkerProcess:
        worker = self._apart.get(group)
        if worker is None or not _is_healthy(worker, machine):
            worker = self._apart[group] = version.fork("async", machine)
            worker.is_apart = True
        return worker


def _is_healthy(worker: WorkerProcess, machine: str | None) -> bool:
    """Say whether a loop can take another run of a machine."""
    is_ill = worker.is_retiring or worker.is_stuck or worker.is_worn or worker.blocked_run is not None
    return worker.machine == machine and not is_ill


def _usual_machine(version: VersionProcess) -> str:
    """Name the machine that most of a version's coroutine tasks have."""
    assert version.manifest is not None
    machines = [
        task.get("machine") or DEFAULT_MACHINE
        for task in version.manifest["tasks"]
        if task["kind"] == "async"
    ]
    return max(machines, key=machines.count)
