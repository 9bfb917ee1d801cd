"""A version process: has imported one version of the user's code, and forks the workers that execute it.

supervisor -> version   load {version, settings}; fork {worker, kind, group?} + socket and output pipe
version -> supervisor   importing {file}; loaded {manifest, modules} | load_failed {problems, files};
                        forked {worker, pid} | fork_failed {worker, error}; unforkable {threads};
                        exited {worker, pid, status, peak}
"""

import errno
import gc
import os
import signal
import socket
import sys
import tempfile
import time
from typing import IO

from triggerdev import _json
from triggerdev._crash import crash_point
from triggerdev.protocol import Load, Message
from triggerdev.worker import forking, processes
from triggerdev.worker.channel import ControlChannel
from triggerdev.worker.project import ImportedProject, import_project
from triggerdev.worker.running import run_worker

_WORKER_FDS = 2  # its channel and its output


def run_version(sock: socket.socket) -> None:
    """Serve one version on the given socket until the supervisor closes it."""
    control = ControlChannel(sock)
    received = control.receive()
    if received is None:
        return
    load: Load = received[0][0]  # type: ignore[assignment]  # the supervisor's first message, by protocol
    project = _load(control, load)
    if project is not None:
        Version(control, load, project).run()


class Version:
    """Forks workers on command and reports their ends."""

    def __init__(self, control: ControlChannel, load: Load, project: ImportedProject) -> None:
        self._control = control
        self._load = load
        self._project = project
        self._workers: dict[int, int] = {}
        self._told_threads = False
        self._nursery = forking.Nursery(control, self._report_exit)
        # An interrupt may arrive before a new worker has its handlers; by default it would end the worker.
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> None:
        """Serve until the control channel ends, then kill what is left."""
        gc.freeze()  # workers share these pages until they write to them
        while (received := self._nursery.receive()) is not None:
            messages, fds = received
            for message in messages:
                if message["t"] == "fork":
                    self._start_worker(message, fds)
        self._nursery.kill_all()

    def _start_worker(self, message: Message, fds: list[int]) -> None:
        worker = message["worker"]
        try:
            pid = self._fork_worker(message["kind"], message.get("group"), fds)
        except OSError as error:  # no processes, memory or files are left
            reason = error.strerror or str(error)
            self._control.send({"t": "fork_failed", "worker": worker, "error": reason})
        else:
            self._workers[pid] = worker
            crash_point("version.worker_forked")
            self._control.send({"t": "forked", "worker": worker, "pid": pid})
        finally:
            for fd in fds:
                os.close(fd)

    def _fork_worker(self, kind: str, group: str | None, fds: list[int]) -> int:
        if len(fds) < _WORKER_FDS:  # the system has dropped those that it had no room for
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        channel, output = fds
        if processes.thread_count() > 1:
            return self._spawn(kind, group, channel, output)
        return self._nursery.fork(lambda: self._become_worker(kind, group, channel, output))

    def _become_worker(self, kind: str, group: str | None, channel: int, output: int) -> None:
        forking.redirect_output(output)
        run_worker(kind, socket.socket(fileno=channel), self._project, group)

    def _spawn(self, kind: str, group: str | None, channel: int, output: int) -> int:
        from pathlib import Path

        from triggerdev.worker.interpreter import module_command

        if not self._told_threads:
            self._control.send({"t": "unforkable", "threads": self._project.manifest["threads"]})
            self._told_threads = True
        with _unnamed_file({**self._load, "contents": self._project.contents}) as file:
            arguments = [str(os.getpid()), kind, str(channel), str(file.fileno()), group or ""]
            command = [*module_command(Path(sys.executable), "triggerdev.worker.spawned"), *arguments]
            return self._nursery.spawn(command, (channel, file.fileno()), output)

    def _report_exit(self, pid: int, status: int, peak: int) -> None:
        worker = self._workers.pop(pid)
        self._control.send({"t": "exited", "worker": worker, "pid": pid, "status": status, "peak": peak})


def _load(control: ControlChannel, load: Load) -> ImportedProject | None:
    started = time.perf_counter()
    project = import_project(load["settings"], lambda file: control.send({"t": "importing", "file": file}))
    took_ms = (time.perf_counter() - started) * 1000
    forking.flush_output()
    answer: Message = {"version": load["version"], "took_ms": took_ms}
    crash_point("version.imported")
    if project.problems:
        control.send({**answer, "t": "load_failed", "problems": project.problems, "files": project.files})
        return None
    control.send({**answer, "t": "loaded", "manifest": project.manifest, "modules": project.modules})
    return project


def _unnamed_file(message: Message) -> IO[bytes]:
    """Write a message into an unnamed file: settings hold a key, so they are no arguments."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(_json.dump_bytes(message))
    file.flush()
    file.seek(0)
    return file
