"""From changed files to a new active version, or to a report of what is wrong."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from triggerdev import config, errors
from triggerdev._crash import crash_point
from triggerdev.dev import settings as translate
from triggerdev.dev.project import Project
from triggerdev.dev.render import DevOutput
from triggerdev.dev.watching import Watcher
from triggerdev.engine.engine import Engine
from triggerdev.protocol import Manifest, SourceProblem, WorkerSettings
from triggerdev.worker.events import LoadOutcome
from triggerdev.worker.supervisor import Supervisor

_RETRY_SECONDS = 1.0


class Reloader:
    """Loads versions of a project's code and makes them the current one.

    `on_first` is awaited with the tasks of the first version that can be loaded.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        supervisor: Supervisor,
        output: DevOutput,
        configure: Callable[[], tuple[WorkerSettings, dict[str, str]]],
        on_first: Callable[[Manifest], Awaitable[None]],
    ) -> None:
        self._project = project
        self._engine = engine
        self._supervisor = supervisor
        self._output = output
        self._configure = configure
        self._on_first = on_first
        self._imported: set[Path] = set()
        self._tasks: dict[str, Any] | None = None
        self._has_variables = False
        debounce = round(project.loaded.config.dev.debounce * 1000)
        self._watcher = Watcher(project.root, debounce)

    def variables_changed(self) -> None:
        """Load the code anew, with the environment variables that are stored now."""
        self._has_variables = True
        self._watcher.ask()

    async def run(self) -> None:
        """Load the code, and load it again whenever a file has changed; never returns."""
        await self._load_at_last([])
        async for changed in self._watcher.changes():
            await self._load_at_last(changed)

    async def _load_at_last(self, changed: Sequence[Path]) -> None:
        """Load the code, however long the database is away meanwhile."""
        while True:
            try:
                await self._load(changed)
            except errors.StorageUnavailableError as error:
                self._output.warning(f"the tasks cannot be loaded yet: {error}")
                self._output.flush()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _load(self, changed: Sequence[Path]) -> None:
        started = time.perf_counter()
        self._watcher.snapshot()
        if not await self._take_changes(changed):
            self._watch()
            return
        version = await self._engine.next_version()
        outcome = await self._supervisor.load(version)
        if outcome.died:  # somebody may have killed it: that is no fault of the code
            outcome = await self._supervisor.load(version)
        crash_point("reload.loaded")
        self._imported = {self._project.root / name for name in outcome.files}
        self._watch()
        problems = outcome.problems or await self._activate(outcome)
        if problems:
            self._output.load_failed(problems, has_previous=self._tasks is not None)
        else:
            await self._show(outcome, changed, started)
        self._output.flush()

    async def _take_changes(self, changed: Sequence[Path]) -> bool:
        """Read config and stored variables again where they have changed; false if that is not possible."""
        if self._project.concerns_config(changed) and not await self._reread():
            return False
        if self._has_variables:
            self._has_variables = False
            await self._project.take_stored(self._engine.variables, self._output)
            self._supervisor.configure(*self._configure())
        return True

    async def _reread(self) -> bool:
        database = self._project.database_url
        try:
            self._project.reread()
        except errors.ConfigError as error:
            self._output.error(str(error))
            self._output.flush()
            return False
        if self._project.database_url != database:
            self._output.warning("TRIGGER_DATABASE_URL has changed: it counts from the next start")
        await self._project.run_extensions(self._output)
        self._supervisor.configure(*self._configure())
        return True

    def _watch(self) -> None:
        files = self._imported | self._project.watched_files()
        self._watcher.watch(files, self._project.task_folders())

    async def _activate(self, outcome: LoadOutcome) -> list[SourceProblem]:
        assert outcome.manifest is not None
        loaded = self._project.loaded
        if not outcome.manifest["tasks"]:
            dirs = ", ".join(loaded.config.dirs)
            message = f"no tasks found in {dirs}: write one with @task, or set `dirs` in {config.FILE_NAME}"
            return [{"kind": "definition", "message": message}]
        try:
            await self._engine.activate(
                outcome.version,
                translate.for_dev(outcome.manifest, loaded),
                on_active=lambda: self._supervisor.activate(outcome.version),
            )
        except errors.InvalidOptionError as error:
            return [{"kind": "definition", "message": str(error)}]
        return []

    async def _show(self, outcome: LoadOutcome, changed: Sequence[Path], started: float) -> None:
        assert outcome.manifest is not None
        before = self._tasks
        self._tasks = {task["id"]: task for task in outcome.manifest["tasks"]}
        if before is None:
            await self._on_first(outcome.manifest)
            return
        added = [f"+{name}" for name in self._tasks if name not in before]
        removed = [f"-{name}" for name in before if name not in self._tasks]
        names = [self._project.relative(path) for path in changed] or ["environment variables"]
        took = (time.perf_counter() - started) * 1000
        self._output.reloaded(outcome.version, names, took, [*added, *removed])
