"""The template process: has imported third-party modules, and forks a version process for each code version.

Started as `python -m triggerdev.worker.template CONTROL_FD LIFELINE_FD ROOT`. The started process stays as
the guard; its first child becomes the template.

    supervisor -> template   preload {modules}; fork_version {version} + socket; kill_version {version}
    template -> supervisor   ready; preloaded {failed, threads}; fork_failed {version, error};
                             exited {version, pid, status}
"""

import errno
import importlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triggerdev._crash import crash_point
from triggerdev.protocol import Message
from triggerdev.worker import processes
from triggerdev.worker.channel import ControlChannel
from triggerdev.worker.forking import Nursery
from triggerdev.worker.guard import guard


class Template:
    """Carries out the supervisor's commands, one after the other."""

    def __init__(self, control: ControlChannel, root: Path) -> None:
        self._control = control
        self._root = root
        self._versions: dict[int, str] = {}
        self._nursery = Nursery(control, self._report_exit)

    def run(self) -> None:
        """Serve until the supervisor closes the control channel, then end all versions."""
        self._control.send({"t": "ready", "pid": os.getpid()})
        while (received := self._nursery.receive()) is not None:
            messages, fds = received
            for message in messages:
                self._carry_out(message, fds)
        self._nursery.kill_all()

    def _carry_out(self, message: Message, fds: list[int]) -> None:
        kind = message["t"]
        if kind == "preload":
            self._control.send({"t": "preloaded", **preload(message["modules"], self._root)})
        elif kind == "fork_version":
            try:
                self._fork_version(message["version"], fds)
            except OSError as error:  # no processes, memory or files are left
                reason = error.strerror or str(error)
                self._control.send({"t": "fork_failed", "version": message["version"], "error": reason})
        elif kind == "kill_version":
            for pid, version in self._versions.items():
                if version == message["version"]:
                    self._nursery.kill(pid)

    def _fork_version(self, version: str, fds: list[int]) -> None:
        if not fds:  # the system has dropped it, having no room for it
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        with socket.socket(fileno=fds[0]) as sock:
            self._versions[self._nursery.fork(lambda: _become_version(sock))] = version
            crash_point("template.version_forked")

    def _report_exit(self, pid: int, status: int, _peak: int) -> None:
        version = self._versions.pop(pid)
        self._control.send({"t": "exited", "version": version, "pid": pid, "status": status})


def _become_version(sock: socket.socket) -> None:
    from triggerdev.worker.version import run_version

    run_version(sock)


def preload(modules: Sequence[str], root: Path) -> dict[str, Any]:
    """Import modules; returns `failed` (they cannot be imported) and `threads` (they left a thread running).

    Modules of the project itself that came along are forgotten again: each version imports its own.
    """
    from triggerdev.worker.importing import is_user_file

    failed, threads = [], []
    count = processes.thread_count()
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException:  # whatever a module does on import must not end the template
            failed.append(name)
        if processes.thread_count() > count:
            count = processes.thread_count()
            threads.append(name)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and is_user_file(file, root):
            del sys.modules[name]
    return {"failed": failed, "threads": threads}


def main(arguments: Sequence[str]) -> int:
    """Fork the template and stay as its guard; returns the exit code."""
    control, lifeline = socket.socket(fileno=int(arguments[0])), socket.socket(fileno=int(arguments[1]))
    guardian = os.getpid()
    processes.adopt_orphans()
    for end in (control, lifeline):
        end.set_inheritable(False)
    pid = os.fork()
    if pid:
        control.close()
        return guard(pid, lifeline)
    processes.die_with_parent(guardian)
    lifeline.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Template(ControlChannel(control), Path(arguments[2])).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
