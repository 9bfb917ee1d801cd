"""What a supervisor tells: bounds it keeps, outcomes of loading, events for people."""

from dataclasses import dataclass, field
from typing import Any

from triggerdev.protocol import Manifest, SourceProblem


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a supervisor. Times are in seconds.

    async_slots, sync_slots: runs that execute at once. spares: idle processes kept ahead. idle: idle
    processes kept at most. parked: processes of waiting plain functions, beyond it runs leave theirs.
    evict_after: a run that waits longer leaves its process; 0: none does. memory: bytes of worker processes,
    beyond it runs that wait leave them.
    executions: runs of one process before it is replaced. solo: processes among which the runs of one that
    died are divided. cancel_grace: from cancel until kill. timeout_grace: from the end of max_duration until
    kill.
    loop_grace: for a coroutine on a loop that is not blocked, before its process is killed for it.
    evict_grace: from eviction until the run is given up. confirm: for the answer to a resume.
    """

    async_slots: int = 1000
    sync_slots: int = 25
    spares: int = 2
    idle: int = 8
    parked: int = 50
    evict_after: float = 60
    memory: int | None = None
    executions: int = 50
    solo: int = 16
    cancel_grace: float = 10
    timeout_grace: float = 2
    loop_grace: float = 20
    evict_grace: float = 10
    confirm: float = 1
    load_timeout: float = 60


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """What loading a version gave: a manifest, or problems. `files` were read (relative), also on failure.

    `died`: the process ended meanwhile, which may be no fault of the code.
    """

    version: str
    manifest: Manifest | None
    problems: list[SourceProblem]
    files: list[str]
    took_ms: float
    died: bool = False

    @property
    def ok(self) -> bool:
        return self.manifest is not None


@dataclass(frozen=True, slots=True)
class SupervisorEvent:
    """Something for people to read.

    `kind`: output (a line that no run printed), blocked, unblocked, threads (a module forbids to fork),
    preload_failed, worker_died, version_died, recovered, recovery_failed, exhausted (no process can be
    started), memory (runs that wait are evicted). `data` has the details.
    """

    kind: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)
