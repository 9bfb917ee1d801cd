"""The main loops of worker processes: one event loop for many runs, or one run at a time.

supervisor -> worker   start, resume, op_done, reply, cancel, evict; ping; shutdown
worker -> supervisor   welcome; op, park, done, evicted, logs; taken {runs, resident, private}; pong;
                       blocked {run, token, ms, location, source_line, stack}; unblocked
"""

import asyncio
import atexit
import os
import signal
import socket
import sys
from types import FrameType

from triggerdev._crash import crash_point
from triggerdev.protocol import Message
from triggerdev.worker import memory
from triggerdev.worker.channel import AsyncChannel, BlockingChannel
from triggerdev.worker.confining import confine
from triggerdev.worker.executor import telemetry
from triggerdev.worker.executor.async_executor import AsyncExecutor
from triggerdev.worker.executor.capture import install_capture
from triggerdev.worker.executor.confinement import Confinement
from triggerdev.worker.executor.log_records import capture_logging
from triggerdev.worker.executor.sync_executor import SyncExecutor
from triggerdev.worker.executor.threads import follow_threads
from triggerdev.worker.project import ImportedProject
from triggerdev.worker.watchdog import Watchdog

INTERRUPTS = {signal.SIGUSR1: "cancelled", signal.SIGUSR2: "timed_out", signal.SIGTERM: "evicted"}


def run_worker(kind: str, sock: socket.socket, project: ImportedProject, group: str | None = None) -> None:
    """Execute runs of one kind, "async" or "sync", until the supervisor says shutdown or is gone.

    `group`: the folder of the control group that bounds the process.
    """
    memory.die_first()
    confinement = confine(group)
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which programs of tasks would inherit
    follow_threads()
    if project.project.settings.get("console_logging", True):
        install_capture()
        capture_logging()
    telemetry.start(project.telemetry, lambda text: print(text, file=sys.stderr))  # noqa: T201
    if kind == "async":
        asyncio.run(_serve(sock, project, confinement))
    else:
        SyncWorker(sock, project, confinement).run()
    atexit._run_exitfuncs()


async def _serve(sock: socket.socket, project: ImportedProject, confinement: Confinement) -> None:
    worker = AsyncWorker(sock, project, confinement)
    await worker.run()


class AsyncWorker:
    """Runs an executor on an event loop."""

    def __init__(self, sock: socket.socket, project: ImportedProject, confinement: Confinement) -> None:
        self._closed = asyncio.Event()
        self._channel = AsyncChannel(sock, self._on_messages, self._closed.set)
        self._executor = AsyncExecutor(project.project, self._channel, confinement)
        self._watchdog = Watchdog(self._executor, self._channel, project.root)

    async def run(self) -> None:
        """Serve until shutdown."""
        for number in INTERRUPTS:
            signal.signal(number, self._interrupt)
        self._channel.send({"t": "welcome", "pid": os.getpid(), **_memory_now()})
        self._watchdog.start()
        await self._closed.wait()
        self._channel.close()

    def _on_messages(self, messages: list[Message]) -> None:
        taken = [entry for entry in map(_placed, messages) if entry is not None]
        if taken:
            self._channel.send({"t": "taken", "runs": taken})  # leaves before user code is stepped
            crash_point("worker.taken")
        for message in messages:
            kind = message["t"]
            if kind == "ping":
                self._channel.send({"t": "pong"})
            elif kind == "shutdown":
                self._closed.set()
            else:
                self._executor.handle(message)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._watchdog.interrupt(INTERRUPTS[signal.Signals(number)])


def _memory_now() -> dict[str, int]:
    """Say what the process has in memory, for whoever tells how much a run has added."""
    found = memory.usage()
    return {} if found is None else {"resident": found.resident, "private": found.private}


def _placed(message: Message) -> tuple[str, int] | None:
    """Return the (run, token) that a message brings here."""
    if message["t"] == "start":
        return message["run"]["id"], message["run"]["token"]
    if message["t"] == "resume":
        return message["run"], message["token"]
    return None


class SyncChannel(BlockingChannel):
    """The channel of a worker for plain functions: answers what is not for the executor."""

    def receive(self) -> Message:
        """Wait for the next message; the process ends when the supervisor is gone."""
        while True:
            try:
                message = super().receive()
            except EOFError:
                os._exit(1)  # nobody is there for whom user code could still do something
            if message["t"] == "ping":
                self.send({"t": "pong"})
                continue
            taken = _placed(message)
            if taken is not None:
                self.send({"t": "taken", "runs": [taken], **_memory_now()})
                crash_point("worker.taken")
            return message


class SyncWorker:
    """Runs an executor on the main thread, one run at a time."""

    def __init__(self, sock: socket.socket, project: ImportedProject, confinement: Confinement) -> None:
        self._channel = SyncChannel(sock)
        self._executor = SyncExecutor(project.project, self._channel, confinement)

    def run(self) -> None:
        """Serve until shutdown."""
        for number in INTERRUPTS:
            signal.signal(number, self._interrupt)
        self._channel.send({"t": "welcome", "pid": os.getpid(), **_memory_now()})
        while (message := self._channel.receive())["t"] != "shutdown":
            if message["t"] == "start":
                self._executor.execute(message)
            elif message["t"] == "resume":  # the engine believes it here: it has to go on from its record
                self._channel.send({"t": "evicted", "run": message["run"], "token": message["token"]})

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        reason = INTERRUPTS[signal.Signals(number)]
        if self._channel.busy:
            self._channel.defer(lambda: self._executor.interrupt(reason))
        else:
            self._executor.interrupt(reason)
