"""`trigger dev` as a program: engine, HTTP server, supervisor, watcher and terminal on one loop."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triggerdev import config, errors
from triggerdev.dev import settings as translate
from triggerdev.dev.folder import StateFolder
from triggerdev.dev.render import DevOutput
from triggerdev.dev.watching import Watcher
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import RunEvent
from triggerdev.engine.store.sqlite import SqliteStore
from triggerdev.protocol import Message, SourceProblem
from triggerdev.worker.events import Limits, LoadOutcome, SupervisorEvent
from triggerdev.worker.interpreter import check_interpreter, find_interpreter
from triggerdev.worker.supervisor import Supervisor

DEFAULT_PORT = 3030
_STOP_GRACE = 2.0
_WORKER = "dev"


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the command line said. `port` None: 3030 or the next free one."""

    path: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    env_files: Sequence[Path] | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class DevSession:
    """One `trigger dev`, from start to Ctrl-C."""

    def __init__(self, options: DevOptions, output: DevOutput) -> None:
        self._options = options
        self._output = output
        self._flushing = False
        self._stop = asyncio.Event()
        self._signals = 0
        self._started = time.perf_counter()
        self._tasks_shown: dict[str, Any] = {}

    async def run(self) -> int:
        """Serve until a signal comes; returns the exit code.

        Raises ConfigError, AlreadyRunningError, EnvironmentProblemError before anything is served.
        """
        loaded, env = self._read_config()
        root = loaded.root
        interpreter = find_interpreter(root)
        check_interpreter(interpreter)
        folder = StateFolder(root)
        folder.prepare()
        self._output.starting(loaded.config.project, root, interpreter)
        environment = translate.environment(loaded)
        engine = Engine(SqliteStore(folder.database), environment=environment)
        await engine.start()
        try:
            return await self._serve(_Parts(loaded, env, interpreter, folder, engine))
        finally:
            await engine.stop()
            self._output.stopped()
            self._output.flush()

    def _read_config(self) -> tuple[config.LoadedConfig, dict[str, str]]:
        options = self._options
        loaded = config.load_config(options.path, env_name="dev", environ=options.environ)
        env = config.load_env_files(loaded.root, self._env_files(loaded), options.environ)
        return loaded, env

    def _env_files(self, loaded: config.LoadedConfig) -> list[Path] | None:
        if self._options.env_files:
            return list(self._options.env_files)
        names = loaded.config.dev.env_file
        known = [loaded.root / name for name in names]
        return known if "dev.env_file" in loaded.origins and _is_written(loaded) else None

    async def _serve(self, parts: "_Parts") -> int:
        from triggerdev.server.listening import bind

        options = self._options
        port = DEFAULT_PORT if options.port is None else options.port
        sock = bind(options.host, port, exact=options.port is not None)
        parts.sock = sock
        parts.url = _url(options.host, sock.getsockname()[1])
        parts.key, warning = parts.folder.key(options.environ)
        if warning:
            self._output.warning(warning)
        supervisor = self._make_supervisor(parts)
        self._catch_signals(supervisor)
        await supervisor.start()
        try:
            await self._live(parts, supervisor)
        finally:
            await self._shut_down(parts, supervisor)
        return 0

    def _make_supervisor(self, parts: "_Parts") -> Supervisor:
        keep = parts.loaded.config.process_keep_alive
        limits = Limits(
            async_slots=parts.loaded.config.dev.max_concurrent_runs or Limits.async_slots,
            sync_slots=min(keep.dev_max_pool_size, parts.loaded.config.dev.max_concurrent_runs or 10**6),
            executions=keep.max_executions_per_process if keep.enabled else 1,
        )
        supervisor = Supervisor(
            parts.interpreter,
            translate.worker_settings(parts.loaded, parts.engine.environment, parts.url, parts.key),
            env=self._worker_env(parts),
            on_messages=lambda messages: self._from_workers(parts, messages),
            on_event=self._on_supervisor_event,
            on_capacity=parts.engine.pump,
            limits=limits,
        )
        parts.session = parts.engine.connect(_WORKER, supervisor.deliver, supervisor.capacity)
        parts.engine.listen(self._on_run_event)
        return supervisor

    def _worker_env(self, parts: "_Parts") -> dict[str, str]:
        return {**parts.env, "TRIGGER_API_URL": parts.url, "TRIGGER_SECRET_KEY": parts.key}

    # -- loading and reloading ---------------------------------------------------------------------

    async def _live(self, parts: "_Parts", supervisor: Supervisor) -> None:
        debounce = round(parts.loaded.config.dev.debounce * 1000)
        watcher = Watcher(parts.loaded.root, debounce)
        await self._load(parts, supervisor, watcher, [])
        reloading = asyncio.create_task(self._reload_on_change(parts, supervisor, watcher))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({reloading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if reloading.done():
            reloading.result()
        reloading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reloading

    async def _reload_on_change(self, parts: "_Parts", supervisor: Supervisor, watcher: Watcher) -> None:
        async for changed in watcher.changes():
            await self._load(parts, supervisor, watcher, changed)

    async def _load(
        self, parts: "_Parts", supervisor: Supervisor, watcher: Watcher, changed: list[Path]
    ) -> None:
        started = time.perf_counter()
        watcher.snapshot()
        if _concerns_config(parts, changed) and not self._reread_config(parts, supervisor):
            self._watch(parts, watcher, None)
            return
        version = await parts.engine.next_version()
        outcome = await supervisor.load(version)
        self._watch(parts, watcher, outcome)
        problems = outcome.problems or await self._activate(parts, supervisor, outcome)
        if problems:
            self._output.load_failed(problems, has_previous=bool(self._tasks_shown))
        elif parts.server is None:
            await self._open(parts, outcome)
        else:
            names = [_relative(path, parts.loaded.root) for path in changed]
            took = (time.perf_counter() - started) * 1000
            self._output.reloaded(version, names, took, self._tasks_changed(outcome))
        self._flush_soon()

    async def _activate(
        self, parts: "_Parts", supervisor: Supervisor, outcome: LoadOutcome
    ) -> list[SourceProblem]:
        assert outcome.manifest is not None
        if not outcome.manifest["tasks"]:
            dirs = ", ".join(parts.loaded.config.dirs)
            message = f"no tasks found in {dirs}: write one with @task, or set `dirs` in {config.FILE_NAME}"
            return [{"kind": "definition", "message": message}]
        manifest = translate.for_dev(outcome.manifest, parts.loaded)
        try:
            await parts.engine.activate(outcome.version, manifest)
        except errors.InvalidOptionError as error:
            return [{"kind": "definition", "message": str(error)}]
        supervisor.activate(outcome.version)
        parts.engine.pump()
        return []

    def _watch(self, parts: "_Parts", watcher: Watcher, outcome: LoadOutcome | None) -> None:
        root, loaded = parts.loaded.root, parts.loaded
        if outcome is not None:
            parts.imported = {root / name for name in outcome.files}
        env_files = self._env_files(loaded) or [root / ".env", root / ".env.local"]
        folders = [root / folder for folder in loaded.config.dirs]
        extra = [path for pattern in loaded.config.dev.watch for path in _matches(root, pattern)]
        watcher.watch({*parts.imported, loaded.path, *env_files, *extra}, folders)

    def _reread_config(self, parts: "_Parts", supervisor: Supervisor) -> bool:
        try:
            parts.loaded, parts.env = self._read_config()
        except errors.ConfigError as error:
            self._output.error(str(error))
            self._flush_soon()
            return False
        settings = translate.worker_settings(parts.loaded, parts.engine.environment, parts.url, parts.key)
        supervisor.configure(settings, self._worker_env(parts))
        return True

    def _tasks_changed(self, outcome: LoadOutcome) -> list[str]:
        assert outcome.manifest is not None
        before, now = self._tasks_shown, {task["id"]: task for task in outcome.manifest["tasks"]}
        self._tasks_shown = dict(now)
        added = [f"+{name}" for name in now if name not in before]
        return [*added, *(f"-{name}" for name in before if name not in now)]

    async def _open(self, parts: "_Parts", outcome: LoadOutcome) -> None:
        from triggerdev.server.app import create_app
        from triggerdev.server.serving import serve
        from triggerdev.server.settings import ServerSettings

        assert outcome.manifest is not None
        app = create_app(
            parts.engine, secret_key=parts.key, settings=ServerSettings(data_dir=parts.folder.packets)
        )
        parts.server = await serve(app, self._options.host, 0, sock=parts.sock)
        parts.folder.write_env(parts.url, parts.key)
        tasks = outcome.manifest["tasks"]
        self._tasks_shown = {task["id"]: task for task in tasks}
        took = (time.perf_counter() - self._started) * 1000
        env_file = _relative(parts.folder.env_file, parts.loaded.root)
        self._output.ready(parts.url, env_file, tasks, took)

    # -- what happens ------------------------------------------------------------------------------

    def _from_workers(self, parts: "_Parts", messages: list[Message]) -> None:
        parts.session.receive(messages)
        for message in messages:
            if message["t"] == "logs":
                for line in message["lines"]:
                    self._output.log_line(line)
                self._flush_soon()

    def _on_run_event(self, event: RunEvent) -> None:
        self._output.run_event(event)
        self._flush_soon()

    def _on_supervisor_event(self, event: SupervisorEvent) -> None:
        if event.kind == "output":
            self._output.process_output(event.message)
        elif event.kind in ("unblocked", "recovered"):
            self._output.notice(event.message)
        else:
            self._output.warning(event.message)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._output.flush()

    # -- stopping ----------------------------------------------------------------------------------

    def _catch_signals(self, supervisor: Supervisor) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(name, self._on_signal, supervisor)

    def _on_signal(self, supervisor: Supervisor) -> None:
        self._signals += 1
        if self._signals == 1:
            self._stop.set()
            return
        supervisor.kill()
        self._output.flush()
        os._exit(130)

    async def _shut_down(self, parts: "_Parts", supervisor: Supervisor) -> None:
        parts.engine.pause()
        self._output.stopping(supervisor.executing)
        self._output.flush()
        if parts.server is not None:
            await parts.server.stop()
        await supervisor.stop(_STOP_GRACE)
        await parts.session.flushed()
        parts.sock.close()


@dataclass(slots=True)
class _Parts:
    """What a session is made of; the later fields are there once it serves."""

    loaded: config.LoadedConfig
    env: dict[str, str]
    interpreter: Path
    folder: StateFolder
    engine: Engine
    url: str = ""
    key: str = field(default="", repr=False)
    imported: set[Path] = field(default_factory=set)
    sock: Any = None
    session: Any = None
    server: Any = None


def _url(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104 - compared, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _is_written(loaded: config.LoadedConfig) -> bool:
    return loaded.origins["dev.env_file"].kind != "default"


def _concerns_config(parts: _Parts, changed: list[Path]) -> bool:
    return any(path == parts.loaded.path or path.name.startswith(".env") for path in changed)


def _matches(root: Path, pattern: str) -> list[Path]:
    plain = pattern.removeprefix("./")
    if (root / plain).is_dir():
        plain = f"{plain.rstrip('/')}/**/*"
    return [path for path in root.glob(plain) if path.is_file()]


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
