"""Bounds a worker process's own memory: by its control group, or by what it may map privately."""

import contextlib
import gc
import os
from abc import ABC, abstractmethod
from pathlib import Path

from triggerdev.worker import memory, rooms
from triggerdev.worker.executor.confinement import Confinement

_NO_LIMIT = -1


def confine(group: str | None) -> Confinement:
    """Choose how this process is bounded: by its control group, by a limit, or not at all."""
    if group is not None and (confined := _Group.join(Path(group))) is not None:
        return confined
    return _Data() if can_limit_data() else Confinement()


def can_limit_data() -> bool:
    """Try whether this system refuses private memory beyond RLIMIT_DATA (Linux does, macOS does not)."""
    found = memory.usage()
    if found is None:
        return False
    import mmap
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (found.data, before[1]))
        mmap.mmap(-1, 64 * rooms.MB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, ValueError):
        return True
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, before)
    return False


class _Measured(Confinement, ABC):
    """Knows what the process had at first, before the run, and at most since then."""

    bounds = True

    def __init__(self) -> None:
        self._first = memory.require_usage()
        self._before = self._first

    def enter(self, machine: str) -> None:
        memory.forget_peak()
        self._before = memory.require_usage()
        self._limit(self._before, rooms.machine_bytes(machine))

    def share(self, machine: str, runs: int) -> None:
        self._limit(self._first, rooms.loop_bytes(machine, runs) + rooms.SLACK)

    def lift(self) -> None:
        self._limit(self._first, _NO_LIMIT)

    def peak(self) -> int | None:
        found = memory.require_usage()
        if self._before.peak > self._before.resident:  # the system could not forget an earlier one
            return max(0, found.resident - self._before.resident)
        return max(0, found.peak - self._before.resident)

    def is_worn(self) -> bool:
        if self._kept() <= rooms.WORN:
            return False
        gc.collect()
        return self._kept() > rooms.WORN

    def _kept(self) -> int:
        return memory.require_usage().private - self._first.private

    @abstractmethod
    def _limit(self, base: memory.Usage, size: int) -> None:
        """Bound the process to its size at `base` and so many bytes more."""


class _Data(_Measured):
    """RLIMIT_DATA: a request that goes beyond it raises MemoryError.

    Counts what is mapped privately and for writing, used or not: heap, stacks of threads; not files, not
    shared memory, nor programs that the run starts, which have a limit of their own.
    """

    def _limit(self, base: memory.Usage, size: int) -> None:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = hard if size == _NO_LIMIT else base.data + size + rooms.stacks_bytes()
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class _Group(_Measured):
    """A control group (v2) of its own: what is used counts, programs included; the system kills beyond it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._first_charge = self._charge()

    @classmethod
    def join(cls, folder: Path) -> "_Group | None":
        """Move this process into the group; None if the system does not let it."""
        try:
            (folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
            return cls(folder)
        except (OSError, ValueError):
            return None

    def _charge(self) -> int:
        return int((self._folder / "memory.current").read_text(encoding="ascii"))

    def _limit(self, base: memory.Usage, size: int) -> None:
        before = self._first_charge if base is self._first else self._charge()
        text = "max" if size == _NO_LIMIT else str(before + size)
        with contextlib.suppress(OSError):
            (self._folder / "memory.max").write_text(text, encoding="ascii")
