"""The supervisor's side of a template process and of the guard before it."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from triggerdev import errors
from triggerdev.protocol import Message
from triggerdev.worker.channel import AsyncChannel
from triggerdev.worker.interpreter import module_command
from triggerdev.worker.output import OutputReader

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


class TemplateProcess:
    """One started template: forks versions, preloads modules, and ends with everything below it.

    Raises EnvironmentProblemError if the interpreter cannot be started, OSError if files, processes or memory
    have run out. `on_message` gets what the template says, `on_gone` is called once when guard and template
    have ended without having been told to.
    """

    def __init__(
        self,
        interpreter: Path,
        root: Path,
        env: Mapping[str, str],
        *,
        on_message: Callable[["TemplateProcess", Message], None],
        on_output: Callable[[list[str]], None],
        on_gone: Callable[["TemplateProcess"], None],
    ) -> None:
        self._on_message = on_message
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self.preloaded: list[str] = []
        self._stopping = False
        self.gone = self._loop.create_future()
        self.env = dict(env)
        control, self._lifeline = self._start(interpreter, root, on_output)
        self._channel = AsyncChannel(control, self._receive, lambda: None)
        self._lifeline.setblocking(False)
        self._loop.add_reader(self._lifeline.fileno(), self._guard_gone)

    @property
    def pid(self) -> int:
        """The guard's process id, which is the id of the session of everything below it."""
        return self._process.pid

    def fork_version(self, version: str) -> socket.socket:
        """Have a version process forked; returns the supervisor's end of its channel."""
        ours, theirs = socket.socketpair()
        self._channel.send_fds({"t": "fork_version", "version": version}, [theirs.detach()])
        return ours

    def kill_version(self, version: str) -> None:
        self._channel.send({"t": "kill_version", "version": version})

    def preload(self, modules: Sequence[str]) -> None:
        """Have modules imported that no version has to import then; those it has already are left out."""
        known = set(self.preloaded)
        wanted = [name for name in modules if name not in known]
        if wanted:
            self.preloaded += wanted
            self._channel.send({"t": "preload", "modules": wanted})

    def kill(self) -> None:
        """Cut the lifeline: the guard kills template, versions, workers and their programs, then ends."""
        self._stopping = True
        self._channel.close()
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)

    async def wait_gone(self) -> None:
        """Wait until no process of the session is left."""
        await asyncio.shield(self.gone)

    def _start(
        self, interpreter: Path, root: Path, on_output: Callable[[list[str]], None]
    ) -> tuple[socket.socket, socket.socket]:
        control, child_control = socket.socketpair()
        lifeline, child_lifeline = socket.socketpair()
        output, child_output = os.pipe()
        children = (child_control.fileno(), child_lifeline.fileno())
        command = [*module_command(interpreter, "triggerdev.worker.template"), *map(str, children), str(root)]
        try:
            self._process = subprocess.Popen(
                command,
                cwd=root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=child_output,
                stderr=child_output,
                pass_fds=children,
                start_new_session=True,
            )
        except OSError as error:
            for end in (control, lifeline):
                end.close()
            os.close(output)
            if error.errno in _EXHAUSTED:
                raise
            raise errors.EnvironmentProblemError(
                f"The interpreter {interpreter} cannot be started in {root}: {error}."
            ) from error
        finally:
            child_control.close()
            child_lifeline.close()
            os.close(child_output)
        self._output = OutputReader(output, on_output)
        return control, lifeline

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            self._on_message(self, message)

    def _guard_gone(self) -> None:
        try:
            if self._lifeline.recv(64):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass  # the same as its end
        self._loop.remove_reader(self._lifeline.fileno())
        self._lifeline.close()
        self._channel.close()
        self._output.drain()
        self._output.close()
        self._process.wait()  # it has closed its sockets, so it is ending: this takes no time
        self.gone.set_result(None)
        if not self._stopping:
            self._on_gone(self)


def describe_exit(status: int) -> str:
    """Say how a process ended: "exit code 3" or "signal SIGSEGV"."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
