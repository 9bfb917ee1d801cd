"""Control groups (v2) for worker processes, where this process was given one that it may divide.

A group is only divided if it was delegated: it is writable, has the memory controller, and holds no process
but ours (systemd: `Delegate=yes`; a container with its own writable /sys/fs/cgroup). Otherwise it belongs to
somebody else, and processes are bounded in another way.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
_MAIN = "triggerdev-main"


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one worker; without a folder it has none."""

    folder: Path | None = None

    def ran_out(self) -> bool:
        """Say whether the system has killed something in the group because its memory was used up."""
        if self.folder is None:
            return False
        lines = (line.split() for line in _read(self.folder / "memory.events").splitlines())
        return any(line[0] == "oom_kill" and int(line[1]) > 0 for line in lines if len(line) > 1)

    def remove(self) -> None:
        """Remove the group, once its processes have ended."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self.folder.rmdir()


class Groups:
    """Makes control groups; none, for a `reason`, where this process may not."""

    def __init__(self, folder: Path | None, reason: str = "not asked for") -> None:
        self.folder = folder
        self.reason = reason

    def make(self, number: int) -> Group:
        """Make the group of a worker; one without a folder if the system does not let us."""
        if self.folder is None:
            return Group()
        made = self.folder / f"triggerdev-worker-{os.getpid()}-{number}"
        try:
            made.mkdir()
        except OSError:
            return Group()
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # a system without swap, an older kernel
                (made / name).write_text(value, encoding="ascii")
        return Group(made)


def find_groups(mount: Path = _MOUNT, own: Path = _SELF, *, divide: bool = True) -> Groups:
    """Take the control group that this process is in for its workers, if it was given to it to divide.

    Without `divide` nothing is changed, and whether the system would let us is not known.
    """
    paths = [line.removeprefix("0::") for line in _read(own).splitlines() if line.startswith("0::")]
    if not paths or not (mount / "cgroup.controllers").exists():
        return Groups(None, "no control groups of version 2")
    folder = mount / paths[0].lstrip("/")
    if "memory" not in _read(folder / "cgroup.controllers").split():
        return Groups(None, "its control group has no memory controller")
    if not os.access(folder, os.W_OK) or not os.access(folder / "cgroup.subtree_control", os.W_OK):
        return Groups(None, "its control group is not writable")
    strangers = {int(pid) for pid in _read(folder / "cgroup.procs").split()} - {os.getpid()}
    if strangers:
        return Groups(None, f"its control group holds other processes, such as {min(strangers)}")
    try:
        if divide:
            _divide(folder)
    except OSError as error:
        return Groups(None, f"its control group cannot be divided: {error.strerror}")
    return Groups(folder)


def _divide(folder: Path) -> None:
    """Hand the memory controller to groups below; for that, this process must sit in one of them, too."""
    if "memory" in _read(folder / "cgroup.subtree_control").split():
        return
    main = folder / _MAIN
    main.mkdir(exist_ok=True)
    (main / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    try:
        (folder / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    except OSError:
        (folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        main.rmdir()
        raise


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
