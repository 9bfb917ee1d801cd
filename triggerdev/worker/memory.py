"""What the operating system says of memory (Linux; elsewhere nothing is known)."""

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_OOM_SCORE = 500  # of 1000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_OWN_PAGES = "/proc/self/statm"
_PAGE_FIELDS = 6
_PRIVATE = re.compile(r"^(RssAnon|RssShmem):\s+(\d+) kB", re.MULTILINE)
_FORGET_PEAK = b"5"
_PROPORTIONAL = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a process.

    `resident`: in memory now, `peak`: at most so far, `private`: of these, what it shares with nobody and no
    file stands behind, `data`: mapped privately and for writing, used or not.
    """

    resident: int
    peak: int
    private: int
    data: int


def usage() -> Usage | None:
    """Give the memory of this process, in some microseconds; None if the system does not tell it."""
    import resource

    fields = _read_quickly(_OWN_PAGES).split()
    if len(fields) < _PAGE_FIELDS:
        return None
    resident, shared, data = (int(fields[index]) * _PAGE for index in (1, 2, 5))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Usage(resident, max(peak, resident), resident - shared, data)


def private_of(pid: int) -> int | None:
    """Give the bytes that a process has in memory and no file stands behind; None if it is not known."""
    sizes = dict(_PRIVATE.findall(_read(f"/proc/{pid}/status")))
    return sum(int(size) for size in sizes.values()) * 1024 if sizes else None


def require_usage() -> Usage:
    """Give the memory of this process. Raises OSError where the system does not tell it."""
    found = usage()
    if found is None:
        raise OSError("/proc/self/statm tells no memory")
    return found


def forget_peak() -> None:
    """Let the peak of this process begin anew, if the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(descriptor, _FORGET_PEAK)
        finally:
            os.close(descriptor)


def machine_memory() -> int | None:
    """Give the bytes of memory that this machine, or the container round it, has."""
    try:
        total = _PAGE * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    limits = (_read(path).strip() for path in _CGROUP_LIMITS)
    return min([total, *(int(limit) for limit in limits if limit.isdigit())])


def resident(pids: Iterable[int]) -> int:
    """Add up the resident bytes of processes; what they share is counted for each."""
    found = (_read(f"/proc/{pid}/statm").split() for pid in pids)
    return sum(int(fields[1]) * _PAGE for fields in found if fields)


def proportional(pids: Iterable[int]) -> int:
    """Add up the bytes of processes, what they share divided among them; takes about 1 ms for each."""
    found = (_PROPORTIONAL.search(_read(f"/proc/{pid}/smaps_rollup")) for pid in pids)
    return sum(int(match[1]) * 1024 for match in found if match)


def die_first() -> None:
    """Have the system, when memory runs out, end this process rather than one of the engine's."""
    path = Path("/proc/self/oom_score_adj")
    now = _read(str(path)).strip()
    if now and int(now) < _OOM_SCORE:
        with contextlib.suppress(OSError):
            path.write_text(str(_OOM_SCORE), encoding="ascii")


def _read_quickly(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 512)
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""  # no such process or system
