"""The supervisor's side of a version process and of the workers forked from it."""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Protocol

from triggerdev.protocol import Manifest, Message, SourceProblem, WorkerSettings
from triggerdev.worker.cgroups import Groups
from triggerdev.worker.channel import AsyncChannel
from triggerdev.worker.events import LoadOutcome
from triggerdev.worker.template_process import TemplateProcess, describe_exit
from triggerdev.worker.worker_process import Kind, WorkerListener, WorkerProcess


class VersionListener(WorkerListener, Protocol):
    """Who hears of a version's end and of threads that forbid it to fork."""

    def version_gone(self, version: "VersionProcess") -> None: ...
    def version_unforkable(self, version: "VersionProcess", threads: list[str]) -> None: ...


class VersionProcess:
    """One code version: being loaded, then the source of workers, then drained and closed."""

    def __init__(
        self,
        name: str,
        template: TemplateProcess,
        listener: VersionListener,
        next_worker: Callable[[], int],
        groups: Groups,
    ) -> None:
        self.name = name
        self.template = template
        self.manifest: Manifest | None = None
        self.modules: list[str] = []
        self.kinds: dict[str, Kind] = {}
        self.workers: dict[int, WorkerProcess] = {}
        self.is_draining = False
        self.is_closed = False
        self._listener = listener
        self._next_worker = next_worker
        self._groups = groups
        self._importing = ""
        self._started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[LoadOutcome] = self._loop.create_future()
        self._channel = AsyncChannel(template.fork_version(name), self._receive, self._channel_closed)

    async def load(self, settings: WorkerSettings, timeout: float) -> LoadOutcome:
        """Import the user's code; a failure is an outcome, not an exception."""
        self._channel.send({"t": "load", "version": self.name, "settings": settings})
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._outcome)
        except TimeoutError:
            return self._failed([self._problem(f"did not finish within {timeout:g} s")])

    def fork(self, kind: Kind, machine: str | None = None) -> WorkerProcess:
        """Start a worker, a loop for the runs of one machine; messages may be sent to it at once."""
        worker = WorkerProcess(self._next_worker(), kind, self.name, self._listener)
        worker.machine = machine
        worker.group = self._groups.make(worker.number)
        self.workers[worker.number] = worker
        order: Message = {"t": "fork", "worker": worker.number, "kind": kind}
        if worker.group.folder is not None:
            order["group"] = str(worker.group.folder)
        self._channel.send_fds(order, worker.child_fds)
        return worker

    def close(self) -> None:
        """Have the process end, with whatever workers it still has; a hanging import is killed."""
        if self.is_closed:
            return
        self.is_closed = True
        if not self._outcome.done():
            self._outcome.set_result(self._failed([self._problem("was given up")]))
        self._channel.close()
        if self.manifest is None:
            self.template.kill_version(self.name)

    def exited(self, status: int) -> None:
        """Take note of the process's end, which the template reports."""
        self._ended(self._problem(f"ended the process with {describe_exit(status)}"))

    def not_started(self, reason: str) -> None:
        """Take note that the template cannot fork the process now."""
        self._ended(not_started(reason))

    def _ended(self, problem: SourceProblem) -> None:
        if not self._outcome.done():
            self._outcome.set_result(dataclasses.replace(self._failed([problem]), died=True))

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            kind = message["t"]
            if kind == "exited":
                worker = self.workers.pop(message["worker"], None)
                if worker is not None:
                    worker.exited(message["status"], message["peak"])
            elif kind == "forked" and message["worker"] in self.workers:
                self.workers[message["worker"]].forked(message["pid"])
            elif kind == "fork_failed":
                worker = self.workers.pop(message["worker"], None)
                if worker is not None:
                    worker.failed(message["error"])
            elif kind == "importing":
                self._importing = message["file"]
            elif kind == "unforkable":
                self._listener.version_unforkable(self, message["threads"])
            elif not self._outcome.done():
                self._finish_load(message)

    def _finish_load(self, message: Message) -> None:
        if message["t"] == "load_failed":
            self._outcome.set_result(self._failed(message["problems"], message["files"]))
        elif message["t"] == "loaded":
            manifest: Manifest = message["manifest"]
            self.manifest, self.modules = manifest, message["modules"]
            self.kinds = {task["id"]: task["kind"] for task in manifest["tasks"]}
            took_ms = self._took_ms()
            self._outcome.set_result(LoadOutcome(self.name, manifest, [], manifest["files"], took_ms))

    def _channel_closed(self) -> None:
        """The process is gone without having been told to, so its workers are gone or going."""
        self.is_closed = True
        for worker in list(self.workers.values()):
            worker.kill()
            worker.exited(None)
        self.workers.clear()
        self._listener.version_gone(self)

    def _failed(self, problems: list[SourceProblem], files: list[str] | None = None) -> LoadOutcome:
        return LoadOutcome(self.name, None, problems, files or [], self._took_ms())

    def _took_ms(self) -> float:
        return (time.monotonic() - self._started) * 1000

    def _problem(self, what: str) -> SourceProblem:
        file = self._importing or "the project"
        return SourceProblem(kind="import", message=f"Importing {file} {what}.", file=file, line=1)


def not_started(reason: str) -> SourceProblem:
    """Say why no process can be started to import the code."""
    text = f"No process can be started to import the project: {reason}. Free some, then save a file again."
    return SourceProblem(kind="import", message=text, file="the project", line=1)
