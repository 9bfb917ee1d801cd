"""`trigger dev` as a program: engine, HTTP server, supervisor, watcher and terminal on one loop."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time

from triggerdev.dev import settings as translate
from triggerdev.dev.folder import StateFolder
from triggerdev.dev.project import DevOptions, Project
from triggerdev.dev.reloading import Reloader
from triggerdev.dev.render import DevOutput
from triggerdev.dev.trouble import WarningsShown
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import RunEvent
from triggerdev.engine.objects import open_objects
from triggerdev.engine.store import describe, open_store
from triggerdev.engine.store.protocol import Store
from triggerdev.engine.vault import Vault, key_source
from triggerdev.protocol import Manifest, Message, WorkerSettings
from triggerdev.server.serving import ServerHandle
from triggerdev.worker.cgroups import find_groups
from triggerdev.worker.events import Limits, SupervisorEvent
from triggerdev.worker.memory import machine_memory
from triggerdev.worker.supervisor import Supervisor

DEFAULT_PORT = 3030
INTERRUPTED = 130
_STOP_GRACE = 2.0
_GOOD_NEWS = frozenset({"unblocked", "recovered"})


class DevSession:
    """One `trigger dev`, from start to Ctrl-C."""

    def __init__(self, options: DevOptions, output: DevOutput) -> None:
        self._options = options
        self._output = output
        self._flushing = False
        self._signals = 0
        self._started = time.perf_counter()
        self._server: ServerHandle | None = None

    async def run(self) -> None:
        """Serve until a signal comes.

        Raises UsageError, AlreadyRunningError, EnvironmentProblemError before anything is served.
        """
        self._stop = asyncio.Event()
        self._project = Project(self._options)
        self._folder = StateFolder(self._project.root)
        self._folder.prepare()
        loaded = self._project.loaded
        logging.getLogger("triggerdev").addHandler(WarningsShown(self._output))
        url = self._project.database_url
        where = describe(url or self._project.relative(self._folder.database))
        self._output.starting(loaded.config.project, self._project.root, self._project.interpreter, where)
        self._output.flush()
        self._environment = translate.environment(loaded)
        with self._folder.lock() if url else contextlib.nullcontext():
            await self._run(open_store(url or self._folder.database))

    async def _run(self, store: Store) -> None:
        loaded = self._project.loaded
        self._engine = Engine(
            store,
            environment=self._environment,
            leases=translate.leases(loaded),
            retention=translate.retention(loaded),
            concurrency_limit=loaded.config.queues.concurrency_limit,
            prices=translate.prices(loaded),
            vault=Vault(key_source(self._folder.vault_key, self._options.environ)),
            objects=open_objects(self._project.object_store_url or self._folder.objects, loaded.environ),
        )
        self._engine.listen(self._on_run_event)
        await self._engine.start()
        try:
            await self._project.run_extensions(self._output)
            await self._serve()
        finally:
            await self._engine.stop()
            if self._signals:
                self._output.stopped()
            self._output.flush()

    async def _serve(self) -> None:
        from triggerdev.server.listening import bind

        options = self._options
        port = DEFAULT_PORT if options.port is None else options.port
        self._socket = bind(options.host, port, exact=options.port is not None)
        self._url = _url(options.host, self._socket)
        self._tell_other_port()
        self._key, warning = self._folder.key(options.environ)
        if warning:
            self._output.warning(warning)
        self._output.flush()
        await self._project.take_stored(self._engine.variables, self._output)
        supervisor = self._make_supervisor()
        self._catch_signals(supervisor)
        try:
            await supervisor.start()
            self._session = self._engine.connect(
                self._folder.worker_name(), supervisor.deliver, supervisor.capacity
            )
            await self._live(supervisor)
        finally:
            await self._shut_down(supervisor)

    def _tell_other_port(self) -> None:
        from triggerdev.server.listening import port_holder

        port = self._socket.getsockname()[1]
        if self._options.port is None and port != DEFAULT_PORT:
            holder = port_holder(DEFAULT_PORT)
            by = f" by {holder}" if holder else ""
            self._output.notice(f"port {DEFAULT_PORT} is taken{by}; this one uses {port}")

    def _make_supervisor(self) -> Supervisor:
        settings, env = self._worker_settings()
        return Supervisor(
            self._project.interpreter,
            settings,
            env=env,
            on_messages=self._on_messages,
            on_event=self._on_supervisor_event,
            on_capacity=self._engine.pump,
            limits=self._limits(),
            groups=find_groups(),
        )

    def _limits(self) -> Limits:
        config = self._project.loaded.config
        keep, most = config.process_keep_alive, config.dev.max_concurrent_runs
        plain = Limits()
        return Limits(
            async_slots=most or plain.async_slots,
            sync_slots=min(keep.dev_max_pool_size, most or keep.dev_max_pool_size),
            executions=keep.max_executions_per_process if keep.enabled else 1,
            parked=config.dev.max_parked_processes,
            evict_after=config.dev.evict_after,
            memory=_worker_memory(config.dev.max_worker_memory_in_mb),
        )

    def _worker_settings(self) -> tuple[WorkerSettings, dict[str, str]]:
        loaded = self._project.loaded
        settings = translate.dev_settings(loaded, self._environment, self._url, self._key)
        return settings, self._project.worker_env(self._url, self._key)

    async def _live(self, supervisor: Supervisor) -> None:
        reloader = Reloader(
            self._project, self._engine, supervisor, self._output, self._worker_settings, self._open
        )
        self._engine.variables.listen(reloader.variables_changed)
        reloading = asyncio.create_task(reloader.run())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({reloading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        reloading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reloading

    async def _open(self, manifest: Manifest) -> None:
        from triggerdev.server.app import create_app
        from triggerdev.server.serving import serve
        from triggerdev.server.settings import ServerSettings

        settings = ServerSettings(data_dir=self._folder.objects)
        app = create_app(self._engine, secret_key=self._key, settings=settings)
        self._server = await serve(app, self._options.host, 0, sock=self._socket)
        self._folder.write_env(self._url, self._key, self._environment.project_ref)
        took = (time.perf_counter() - self._started) * 1000
        env_file = self._project.relative(self._folder.env_file)
        self._output.ready(self._url, env_file, manifest["tasks"], took)

    # -- what happens ------------------------------------------------------------------------------

    def _on_messages(self, messages: list[Message]) -> None:
        self._session.receive(messages)
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
        elif event.kind in _GOOD_NEWS:
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
        os._exit(INTERRUPTED)

    async def _shut_down(self, supervisor: Supervisor) -> None:
        self._engine.pause()
        self._output.stopping(supervisor.executing)
        self._output.flush()
        if self._server is not None:
            await self._server.stop()
        await supervisor.stop(_STOP_GRACE)
        await self._session.flushed()
        self._socket.close()


def _worker_memory(megabytes: int | None) -> int | None:
    if megabytes is not None:
        return megabytes << 20
    whole = machine_memory()
    return None if whole is None else whole // 2


def _url(host: str, sock: socket.socket) -> str:
    port = sock.getsockname()[1]
    shown = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104 - compared, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
