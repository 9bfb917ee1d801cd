"""The guard: the first process of a session. It runs no user code and outlives everything in its session.

It is the parent of the template process. It holds one end of the lifeline, a socket pair whose other end only
the supervisor's process has. When that end closes, for whatever reason, or when the template ends, the guard
kills what is left: its session and its descendants, also those that moved to a session of their own.
"""

import os
import select
import signal
import socket
import time

from triggerdev.worker import processes

_TICK_SECONDS = 0.01


def guard(template: int, lifeline: socket.socket) -> int:
    """Watch until the lifeline closes or the template ends, clean up, and return the template's exit code."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    wakeup, notify = socket.socketpair()
    for end in (wakeup, notify):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(notify.fileno(), warn_on_full_buffer=False)
    status = _watch(template, lifeline, wakeup)
    _kill_family()
    return status


def _watch(template: int, lifeline: socket.socket, wakeup: socket.socket) -> int:
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        status = _reap(template)
        if status is not None:
            return status
        ready = {fd for fd, _ in poll.poll()}
        if wakeup.fileno() in ready:
            wakeup.recv(4096)
        if lifeline.fileno() in ready and not lifeline.recv(4096):
            return 0


def _reap(template: int) -> int | None:
    """Collect all dead children; the template's exit code if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 1 if found is None else found
        if pid == 0:
            return found
        if pid == template:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _kill_family() -> None:
    untouchable: set[int] = set()
    while True:
        family = set(processes.find_family(os.getpid())) - untouchable
        if not family:
            return
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # gone meanwhile
            except PermissionError:
                untouchable.add(pid)  # a program that changed its user
        _reap(-1)
        time.sleep(_TICK_SECONDS)
