"""The supervisor: a template process, the versions forked from it, and the runs that their workers execute.

It lives on an asyncio loop and executes no user code, so nothing that a task does can cost a lease.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.protocol import Message, WorkerSettings
from triggerdev.worker.cgroups import Groups
from triggerdev.worker.dispatcher import Dispatcher
from triggerdev.worker.events import Limits, LoadOutcome, SupervisorEvent
from triggerdev.worker.template_process import TemplateProcess
from triggerdev.worker.version_process import VersionProcess, not_started
from triggerdev.worker.worker_process import WorkerProcess

_MAX_RECOVERY_DELAY = 10.0
_CALM_SECONDS = 60.0


class Supervisor:
    """Loads code versions and executes runs in child processes.

    `on_messages` gets lists of messages for the engine, `on_event` what people should know, `on_capacity` is
    called when slots have become free; all on the loop that `start` was awaited on. `groups`: control groups
    for worker processes.
    """

    def __init__(
        self,
        interpreter: Path,
        settings: WorkerSettings,
        *,
        env: Mapping[str, str] | None = None,
        on_messages: Callable[[list[Message]], None],
        on_event: Callable[[SupervisorEvent], None],
        on_capacity: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        groups: Groups | None = None,
    ) -> None:
        self.settings = settings
        self._interpreter = interpreter
        self._env = dict(os.environ if env is None else env)
        self._on_event = on_event
        self._on_capacity = on_capacity
        self._limits = limits or Limits()
        self._groups = groups or Groups(None)
        self._dispatcher = Dispatcher(self._limits, emit=on_messages, tell=on_event, on_capacity=on_capacity)
        self._template: TemplateProcess | None = None
        self._templates: list[TemplateProcess] = []
        self._versions: dict[str, VersionProcess] = {}
        self._unwanted: set[str] = set()
        self._worker_number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._recoveries = 0
        self._recovered_at = 0.0

    # -- life

    async def start(self) -> None:
        """Start the template process. Raises EnvironmentProblemError when the interpreter does not start."""
        self._dispatcher.attach(asyncio.get_running_loop())
        try:
            self._template = self._new_template()
        except OSError as error:
            text = (
                f"No process can be started: {error.strerror}. Free some, or raise the limit (`ulimit -a`)."
            )
            raise errors.EnvironmentProblemError(text) from error

    async def stop(self, grace: float) -> None:
        """End everything: runs are unwound, and killed after `grace` seconds; they resume by replay.

        Returns when no process is left; does nothing before `start`.
        """
        self._is_stopping = True
        self._dispatcher.stop()
        try:
            async with asyncio.timeout(grace):
                while self._dispatcher.runs:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass  # what has not ended is killed with the rest
        self.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(template.wait_gone() for template in list(self._templates)))
        for version in list(self._versions.values()):
            version.close()
        self._versions.clear()

    def kill(self) -> None:
        """Kill every process now, with the programs that tasks have started."""
        self._is_stopping = self._dispatcher.is_stopping = True
        for template in self._templates:
            template.kill()

    def configure(self, settings: WorkerSettings, env: Mapping[str, str]) -> None:
        """Use other settings and another environment from the next load on."""
        self.settings = settings
        self._env = dict(env)
        if self._template is not None and self._template.env != self._env:
            self._replace_template()

    # -- versions

    async def load(self, version: str) -> LoadOutcome:
        """Import the code as it is now, as a new version, without sending runs to it yet.

        A version that is being loaded, or was loaded and never activated, is dropped. Raises
        EnvironmentProblemError when the interpreter does not start.
        """
        if version in self._versions:
            raise errors.UsageError(f"Version {version!r} is loaded already.")
        self._drop_unused()
        outcome, template_died = await self._load(version)
        if template_died and not outcome.ok and not self._is_stopping:
            outcome, _ = await self._load(version)  # that was no fault of the code
        threads = outcome.manifest["threads"] if outcome.manifest is not None else []
        if threads:
            self._unwanted.update(name.partition(".")[0] for name in threads)
            self._tell_threads(threads)
        return outcome

    async def _load(self, name: str) -> tuple[LoadOutcome, bool]:
        """Load once; says also whether the template has died meanwhile."""
        try:
            if self._template is None:
                self._template = self._new_template()
            version = VersionProcess(name, self._template, self, self._next_worker, self._groups)
        except OSError as error:
            problem = not_started(error.strerror or str(error))
            return LoadOutcome(name, None, [problem], [], 0, died=True), False
        self._versions[name] = version
        try:
            outcome = await version.load(self.settings, self._limits.load_timeout)
        except BaseException:
            self._close(version)
            raise
        if not outcome.ok:
            self._close(version)
        return outcome, version.template.gone.done()

    def activate(self, version: str) -> None:
        """Send new runs to this version.

        The previous one finishes what it executes; what waits there is evicted.
        """
        current = self._versions.get(version)
        previous = self._dispatcher.pool.version
        if current is None:
            self._died(version)  # since it was loaded
        elif previous is current:
            return
        self._dispatcher.pool.switch(current)
        crash_point("supervisor.activating")
        if previous is not None:
            self._drain(previous)
        if current is not None:
            self._preload(current.modules)
            self._on_capacity()

    @property
    def current_version(self) -> str | None:
        version = self._dispatcher.pool.version
        return version.name if version is not None else None

    # -- runs

    def deliver(self, messages: Sequence[Message]) -> None:
        """Hand over messages of the engine; `start` takes a slot even if `capacity` shows none."""
        self._dispatcher.deliver(messages)

    def capacity(self) -> dict[str, int]:
        """Count free slots: {"async": n, "sync": n}; zero while no version is active."""
        return self._dispatcher.capacity()

    @property
    def executing(self) -> int:
        """The number of runs that execute now; those that wait are not counted."""
        return self._dispatcher.executing

    def process_ids(self) -> list[int]:
        """List the sessions' leading processes (the guards), one for each template."""
        return [template.pid for template in self._templates]

    # -- what processes say (VersionListener)

    def worker_said(self, worker: WorkerProcess, messages: list[Message]) -> None:
        self._dispatcher.worker_said(worker, messages)
        if self._is_stopping:
            self._changed.set()

    def worker_printed(self, worker: WorkerProcess, lines: list[str]) -> None:
        self._dispatcher.worker_printed(worker, lines)

    def worker_gone(self, worker: WorkerProcess, status: int | None, peak: int | None) -> None:
        self._dispatcher.worker_gone(worker, status, peak)
        self._changed.set()
        version = self._versions.get(worker.version)
        if version is not None:
            version.workers.pop(worker.number, None)
            if version.is_draining and not version.workers:
                self._close(version)

    def version_gone(self, version: VersionProcess) -> None:
        if self._versions.get(version.name) is not version or version.manifest is None:
            return  # it could not be loaded; `load` answers for it
        del self._versions[version.name]
        if self._dispatcher.pool.version is not version:
            self._release_templates()
            return
        self._dispatcher.pool.switch(None)
        if not self._is_stopping:
            self._died(version.name)

    def version_unforkable(self, version: VersionProcess, threads: list[str]) -> None:
        if version.manifest is not None and not version.manifest["threads"]:
            self._tell_threads(threads)

    # -- inside

    def _new_template(self) -> TemplateProcess:
        template = TemplateProcess(
            self._interpreter,
            Path(self.settings["root"]),
            self._env,
            on_message=self._template_said,
            on_output=self._print_lines,
            on_gone=self._template_gone,
        )
        self._templates.append(template)
        return template

    def _replace_template(self) -> None:
        self._template = None
        self._release_templates()

    def _release_templates(self) -> None:
        """End templates that nothing is forked from any more."""
        used = {version.template for version in self._versions.values()}
        for template in self._templates:
            if template is not self._template and template not in used:
                template.kill()
                self._run(self._remove_template(template))

    async def _remove_template(self, template: TemplateProcess) -> None:
        await template.wait_gone()
        if template in self._templates:
            self._templates.remove(template)

    def _template_said(self, template: TemplateProcess, message: Message) -> None:
        version = self._versions.get(message.get("version", ""))
        if message["t"] == "exited" and version is not None:
            version.exited(message["status"])
        elif message["t"] == "fork_failed" and version is not None:
            version.not_started(message["error"])
        elif message["t"] == "preloaded" and message["threads"] and template is self._template:
            self._restart_without(template, message["threads"])

    def _restart_without(self, template: TemplateProcess, threads: list[str]) -> None:
        """Start a template that does not import what left a thread; the next version is forked from it."""
        tops = {name.partition(".")[0] for name in threads}
        self._unwanted |= tops
        text = f"{', '.join(sorted(tops))} cannot be imported ahead: the import leaves a thread running."
        self._on_event(SupervisorEvent("preload_failed", text, {"modules": threads}))
        self._template = None
        with contextlib.suppress(OSError):  # then the next load starts it
            self._template = self._new_template()
        self._preload(template.preloaded)
        self._release_templates()

    def _preload(self, modules: Sequence[str]) -> None:
        if self._template is not None:
            self._template.preload([name for name in modules if name.partition(".")[0] not in self._unwanted])

    def _template_gone(self, template: TemplateProcess) -> None:
        self._templates.remove(template)
        if self._template is template:
            self._template = None
        for version in list(self._versions.values()):
            if version.template is template:
                version.exited(-9)

    def _died(self, name: str) -> None:
        self._on_event(SupervisorEvent("version_died", f"The process of version {name} has ended."))
        self._run(self._recover(name))

    async def _recover(self, name: str) -> None:
        """Load the current code again after its processes have died, with growing pauses."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._recovered_at > _CALM_SECONDS:
            self._recoveries = 0
        while not self._is_stopping:
            self._recoveries += 1
            await asyncio.sleep(min(_MAX_RECOVERY_DELAY, 0.02 * 2 ** min(self._recoveries, 10)))
            if self._dispatcher.pool.version is not None:
                return
            if self._is_loading():
                continue  # somebody else is; if that fails, it is our turn again
            try:
                outcome = await self.load(name)
            except errors.TriggerError as error:
                self._on_event(SupervisorEvent("recovery_failed", str(error)))
                continue
            if outcome.ok:
                self._recovered_at = loop.time()
                self.activate(name)
                self._on_event(SupervisorEvent("recovered", f"Version {name} runs again."))
                return
            if self._is_loading():
                continue  # dropped for a newer version
            text = f"Version {name} cannot be loaded again: {outcome.problems[0]['message']}"
            self._on_event(SupervisorEvent("recovery_failed", text, {"problems": outcome.problems}))
            if not outcome.died:
                return

    def _is_loading(self) -> bool:
        return any(not version.is_draining for version in self._versions.values())

    def _drain(self, version: VersionProcess) -> None:
        version.is_draining = True
        for worker in list(version.workers.values()):
            for placement in worker.parked:
                self._dispatcher.evict(placement)
            if worker.is_idle:
                self._dispatcher.settle(worker)
        if not version.workers:
            self._close(version)

    def _drop_unused(self) -> None:
        for version in list(self._versions.values()):
            if not version.is_draining and version is not self._dispatcher.pool.version:
                self._close(version)

    def _close(self, version: VersionProcess) -> None:
        if self._versions.get(version.name) is version:
            del self._versions[version.name]
        version.close()
        self._release_templates()

    def _tell_threads(self, threads: list[str]) -> None:
        text = f"Importing {', '.join(threads)} leaves a thread running, so workers cannot be forked; "
        text += "each one imports the code by itself, which takes longer."
        self._on_event(SupervisorEvent("threads", text, {"modules": threads}))

    def _print_lines(self, lines: list[str]) -> None:
        for line in lines:
            self._on_event(SupervisorEvent("output", line))

    def _next_worker(self) -> int:
        self._worker_number += 1
        return self._worker_number

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
