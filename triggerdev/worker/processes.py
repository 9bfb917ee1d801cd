"""What the operating system knows of our processes: parents, sessions, threads, signals on a parent's death.

Linux gives all of it through /proc and prctl. Elsewhere `ps` lists processes, and a worker notices its
parent's death only by the end of its socket.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IS_LINUX = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    pid: int
    parent: int
    session: int
    is_zombie: bool


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when the parent ends. A fork clears this: every child calls it for itself.

    `parent` is the pid that the caller was forked by; the process ends at once if that one is gone already.
    """
    if _IS_LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can slip away (Linux)."""
    if _IS_LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def thread_count() -> int:
    """Count the threads of this process, those of extension modules included where /proc exists."""
    if _IS_LINUX:
        try:
            return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - runs after each first import
        except OSError:
            pass  # a sandbox without /proc
    return threading.active_count()


def list_processes() -> list[ProcessEntry]:
    """List all processes that can be seen."""
    if _IS_LINUX:
        entries = (_read_stat(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
        return [entry for entry in entries if entry is not None]
    return _list_by_ps()


def find_family(root: int) -> list[int]:
    """Find the living descendants of a process and the members of its session, without itself."""
    entries = list_processes()
    family = {entry.pid for entry in entries if entry.session == root}
    family.add(root)
    grew = True
    while grew:
        more = {entry.pid for entry in entries if entry.parent in family} - family
        family |= more
        grew = bool(more)
    return [
        entry.pid for entry in entries if entry.pid in family and entry.pid != root and not entry.is_zombie
    ]


def kill_group(group: int) -> None:
    """Send SIGKILL to a process group; one that is gone is fine."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # gone; macOS answers EPERM for a group of zombies


def _read_stat(pid: str) -> ProcessEntry | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # ended meanwhile
    state, parent, _group, session = text[text.rindex(")") + 2 :].split(" ", 4)[:4]
    return ProcessEntry(int(pid), int(parent), int(session), state in "ZX")


def _list_by_ps() -> list[ProcessEntry]:
    listing = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=False)
    entries = []
    for line in listing.stdout.splitlines():
        pid, parent, state = line.split(None, 2)
        try:
            session = os.getsid(int(pid))
        except OSError:
            session = 0
        entries.append(ProcessEntry(int(pid), int(parent), session, state.startswith("Z")))
    return entries
