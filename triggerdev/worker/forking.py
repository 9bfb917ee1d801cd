"""Children of a process without threads or an event loop: fork them, signal them, report their ends."""

import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence

from triggerdev.protocol import Message
from triggerdev.worker import processes
from triggerdev.worker.channel import ControlChannel

_FATAL_EXIT_CODE = 70  # EX_SOFTWARE
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_HAS_WAITID = hasattr(os, "waitid")  # macOS: since Python 3.13


class Nursery:
    """Waits for commands on a control channel and, meanwhile, for the ends of its children.

    Each child leads its own process group, which is killed before the child is reaped: at that moment its pid
    cannot belong to anybody else.
    """

    def __init__(self, control: ControlChannel, on_exit: Callable[[int, int, int], None]) -> None:
        self._control = control
        self._on_exit = on_exit
        self._children: set[int] = set()
        self._wakeup, self._notify = socket.socketpair()
        self._wakeup.setblocking(False)
        self._notify.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._notify.fileno(), warn_on_full_buffer=False)

    def fork(self, main: Callable[[], None]) -> int:
        """Fork a child that runs `main` and ends with it; returns its pid. Raises OSError."""
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_child(parent, main)
        self._children.add(pid)
        return pid

    def spawn(self, command: Sequence[str], fds: Sequence[int], output: int) -> int:
        """Start another program as a child, for a process whose threads forbid to fork; returns its pid."""
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=fds, process_group=0
        )
        process.returncode = 0  # it is reaped here, like the others
        self._children.add(process.pid)
        return process.pid

    def receive(self) -> tuple[list[Message], list[int]] | None:
        """Wait for the next command; None when the control channel has ended."""
        poll = select.poll()
        poll.register(self._control.fileno(), select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while True:
            self._reap()
            ready = {fd for fd, _ in poll.poll()}
            if self._wakeup.fileno() in ready:
                self._clear_wakeup()
            if self._control.fileno() in ready:
                return self._control.receive()

    def kill(self, pid: int) -> None:
        """Kill a child with its process group."""
        if pid in self._children:
            processes.kill_group(pid)

    def kill_all(self) -> None:
        """Kill all children with their groups and reap them."""
        for pid in self._children:
            processes.kill_group(pid)
        for pid in list(self._children):
            os.waitpid(pid, 0)
            self._children.discard(pid)

    def _clear_wakeup(self) -> None:
        try:
            self._wakeup.recv(4096)
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        for pid in list(self._children):
            if _HAS_WAITID:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                processes.kill_group(pid)
            found, status, used = os.wait4(pid, os.WNOHANG)
            if not found:
                continue
            if not _HAS_WAITID:
                processes.kill_group(pid)
            self._children.discard(pid)
            self._on_exit(pid, os.waitstatus_to_exitcode(status), used.ru_maxrss * _MAXRSS_UNIT)

    def _become_child(self, parent: int, main: Callable[[], None]) -> None:
        status = _FATAL_EXIT_CODE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._wakeup.close()
            self._notify.close()
            self._control.close()
            os.setpgid(0, 0)
            processes.die_with_parent(parent)
            main()
            status = 0
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            flush_output()
            os._exit(status)


def flush_output() -> None:
    """Write out what is buffered; a closed pipe or a replaced stream is fine."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


def redirect_output(output: int) -> None:
    """Point the file descriptors 1 and 2 to `output` and 0 to /dev/null; closes `output`."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
