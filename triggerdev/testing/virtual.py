"""The engine for tests: the real one on a store in memory, with a clock that skips waits."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from triggerdev import _prices, errors
from triggerdev.engine.clock import IdSource
from triggerdev.engine.commands.traces import MOST_SPANS
from triggerdev.engine.commands.traces import read as read_trace
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import Run, RunDetail, RunFilter, TriggerItem
from triggerdev.engine.objects.memory import MemoryObjects
from triggerdev.engine.store.memory import MemoryStore
from triggerdev.engine.vault import Vault
from triggerdev.engine.watch import Feed
from triggerdev.protocol import WorkerSettings
from triggerdev.sdk import options as trigger_options
from triggerdev.sdk import registry, serialise
from triggerdev.sdk.options import TriggerOptions
from triggerdev.sdk.results import RunHandle
from triggerdev.sdk.task import Task
from triggerdev.testing import project as projects
from triggerdev.testing import stuck, traces
from triggerdev.testing.clock import VirtualClock, to_datetime
from triggerdev.testing.connecting import connected
from triggerdev.testing.project import Tasks, task_id
from triggerdev.testing.reports import RunReport, report
from triggerdev.testing.traces import SpanReport
from triggerdev.testing.worker import Answer, InProcessWorker
from triggerdev.worker.executor.project import Project

ANY: Any = object()
_ALL = 1_000_000
_TASKS_SHOWN = 10


class VirtualEngine:
    """An engine in memory that executes runs in this process; made by `testing.engine(...)`.

    The clock stands still, except that `run` and `wait` move it to whatever comes next while all runs wait,
    and `advance` moves it by a span.
    """

    def __init__(
        self,
        store: MemoryStore,
        clock: VirtualClock,
        core: "_Engine",
        objects: MemoryObjects,
        vault: Vault,
        patience: float,
    ) -> None:
        self._objects = objects
        self._vault = vault
        self.clock = clock
        self.core: Engine = core
        self._context = core._context
        self._store = store
        self._patience = patience
        self._pacing = asyncio.Lock()
        self.worker: InProcessWorker
        core.pace = self._pace_quietly

    # -- running

    async def trigger(
        self, task: str | Task[Any], payload: Any = None, **options: Unpack[TriggerOptions]
    ) -> RunHandle:
        """Trigger a task as a backend does. Raises UnknownTaskError, InvalidOptionError, PayloadError."""
        wire = trigger_options.to_wire(options)
        item = TriggerItem(task_id(task), serialise.dump_payload(payload), options=wire)
        made = await self.core.trigger(item)
        return RunHandle(made.id, task_id(task), made.is_cached)

    async def run(
        self, task: str | Task[Any], payload: Any = None, **options: Unpack[TriggerOptions]
    ) -> RunReport:
        """Trigger a task and wait until the run has ended, however that may be. Raises RunStuckError."""
        return await self.wait(await self.trigger(task, payload, **options))

    async def wait(self, run: "str | RunHandle | RunReport") -> RunReport:
        """Wait until a run has ended; waits, delays and retries take no time.

        Raises RunStuckError if it waits for something that no time brings, such as a token without timeout,
        or if user code executes for longer than the engine's patience.
        """
        run_id = run if isinstance(run, str) else run.id
        if not await self._pace(run_id):
            raise errors.RunStuckError(stuck.reason(self._store, self._row(run_id)))
        return self.find(run_id)

    async def idle(self) -> None:
        """Wait until every run has ended or waits, without moving the clock. Raises RunStuckError."""
        try:
            async with asyncio.timeout(self._patience):
                await self.worker.idle()
        except TimeoutError:
            names = ", ".join(repr(run["task"]) for run in self.worker.executing[:_TASKS_SHOWN])
            raise errors.RunStuckError(
                f"Code of {names} still executes after {self._patience:g} s of real time. Only durable waits"
                " are skipped; asyncio.sleep, locks, blocking calls take the time they take (patience=...)."
            ) from None

    async def advance(self, span: timedelta | None = None, **units: float) -> None:
        """Move the clock by a timedelta, or by its arguments (days=1, hours=2, ...); all that is due happens.

        Each thing happens at its own time, in order: retries, timeouts, every slot of a schedule.
        """
        await self.idle()
        target = self.clock.now() + round((span or timedelta(**units)) / timedelta(milliseconds=1))
        while (due := self._next_due(self.core.scheduled_tasks)) is not None and due <= target:
            await self._move_to(due)
        await self._move_to(target)

    async def complete_token(self, id_or_name: str, output: Any = None) -> None:
        """Complete a waitpoint token; a name that nobody waits for yet is complete when somebody does."""
        text = serialise.dump(output)
        if not id_or_name.startswith("waitpoint_"):
            await self.core.tokens.create(idempotency_key=id_or_name)
        await self.core.tokens.complete(id_or_name, text, serialise.JSON)
        await self.idle()

    async def cancel(self, run: "str | RunHandle | RunReport") -> RunReport:
        """Cancel a run and its descendants, and wait until it has let go."""
        run_id = run if isinstance(run, str) else run.id
        await self.core.cancel_run(run_id)
        await self.idle()
        return self.find(run_id)

    # -- looking

    @property
    def now(self) -> datetime:
        """The time on the clock."""
        return to_datetime(self.clock.now())

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that `envvars` has set, secret ones included."""
        with self._store.read() as tx:
            found = tx.variables()
        return {variable.name: self._vault.open(variable.name, variable.value) for variable in found}

    @property
    def runs(self) -> list[RunReport]:
        """Every run so far, oldest first."""
        with self._store.read() as tx:
            newest_first = tx.list_runs(RunFilter(), _ALL, None, None)
        return [report(run, self.clock.now(), self._objects) for run in reversed(newest_first)]

    def find(self, run: "str | RunHandle | RunReport") -> RunReport:
        """Look at a run. Raises NoSuchRunError."""
        return report(self._row(run if isinstance(run, str) else run.id), self.clock.now(), self._objects)

    def logs(self, run: "str | RunHandle | RunReport") -> list[str]:
        """List what a run has logged with `logger`."""
        run_id = run if isinstance(run, str) else run.id
        with self._store.read() as tx:
            return [entry.message for entry in tx.read_logs(run_id, 0, _ALL)]

    def trace(self, run: "str | RunHandle | RunReport") -> SpanReport:
        """Look at what a run and its descendants did, as a tree of spans. Raises NoSuchRunError."""
        run_id = run if isinstance(run, str) else run.id
        with self._store.read() as tx:
            return traces.report(read_trace(self._context(tx), run_id, MOST_SPANS))

    def triggered(self, task: str | Task[Any], payload: Any = ANY) -> list[RunReport]:
        """List the runs of a task, oldest first; with a payload only those that have it."""
        wanted = payload if payload is ANY else _as_stored(payload)
        runs = [run for run in self.runs if run.task == task_id(task)]
        return [run for run in runs if wanted is ANY or run.payload == wanted]

    def assert_triggered(
        self, task: str | Task[Any], payload: Any = ANY, *, times: int | None = None
    ) -> list[RunReport]:
        """Assert that a task was triggered (`times` times; else at least once) and give the runs."""
        __tracebackhide__ = True
        found = self.triggered(task, payload)
        if len(found) == times or (times is None and found):
            return found
        count = "at least once" if times is None else f"{times} times"
        with_payload = "" if payload is ANY else f" with payload {payload!r}"
        seen = "\n".join(f"  {run.task} {run.payload!r} {run.status}" for run in self.runs) or "  none"
        raise AssertionError(
            f"{task_id(task)!r} should have been triggered {count}{with_payload}, but was {len(found)} times."
            f" All runs:\n{seen}"
        )

    def assert_not_triggered(self, task: str | Task[Any], payload: Any = ANY) -> None:
        """Assert that a task was not triggered (with this payload)."""
        __tracebackhide__ = True
        self.assert_triggered(task, payload, times=0)

    # -- inside

    def _row(self, run_id: str) -> Run:
        with self._store.read() as tx:
            found = tx.get_runs([run_id])
        if not found:
            raise errors.NoSuchRunError(f"Run {run_id!r} not found.")
        return found[run_id]

    def _next_due(self, scheduled: Sequence[str]) -> int | None:
        with self._store.read() as tx:
            return tx.next_due(scheduled=scheduled)

    async def _move_to(self, at: int) -> None:
        self.clock.move_to(at)
        await self.core.tick()
        await self.idle()

    async def _pace(self, run_id: str) -> bool:
        """Move the clock until a run has ended; False if nothing more comes by time."""
        while True:
            async with self._pacing:
                await self.idle()
                if self._row(run_id).status.is_final:
                    return True
                due = self._next_due(())
                if due is None:
                    return False
                await self._move_to(due)

    async def _pace_quietly(self, run_id: str) -> None:
        with contextlib.suppress(errors.RunStuckError):
            await self._pace(run_id)

    async def close(self) -> None:
        """End what still executes and stop. Raises RunStuckError if user code does not let go."""
        self.core.pause()
        try:
            self.worker.let_all_go()
            await self.idle()
        finally:
            await self.core.stop()
            self.worker.restore_loop()


class _Engine(Engine):
    """The engine; whoever polls a run through it moves the clock."""

    pace: Callable[[str], Any]

    async def wait_run(
        self, run_id: str, *, since_rev: int, timeout: float, until_final: bool = True
    ) -> RunDetail:
        async with self._paced([run_id]):
            return await super().wait_run(
                run_id, since_rev=since_rev, timeout=timeout, until_final=until_final
            )

    async def wait_feed(self, feed: Feed, runs: Collection[str], timeout: float) -> None:
        async with self._paced(runs):
            await super().wait_feed(feed, runs, timeout)

    @contextlib.asynccontextmanager
    async def _paced(self, runs: Collection[str]) -> AsyncIterator[None]:
        pacing = [asyncio.ensure_future(self.pace(run)) for run in runs]
        try:
            yield
        finally:
            for each in pacing:
                each.cancel()
            await asyncio.gather(*pacing, return_exceptions=True)


def _as_stored(payload: Any) -> Any:
    return serialise.load(serialise.dump_payload(payload), serialise.JSON)


class EngineOptions(TypedDict, total=False):
    """What an engine for tests can be told.

    `now`: what the clock begins at, by default the real time. `seed`: of ids and of the jitter of retries.
    `schedules`: whether cron schedules fire (True). `connect`: whether calls outside of runs
    (`my_task.trigger`, `runs.poll`) go to this engine (True). `replay`: whether every wait ends by starting
    the run again from its record, as after a restart (False). `answers`: what children answer by task id,
    instead of being executed. `patience`: seconds of real time that user code may take (10). `settings`: what
    workers know of the config. `interrupt`: told a run and the count of its operations after each, says
    whether the run is lost there, to start again from its record.
    """

    now: datetime | None
    seed: int
    schedules: bool
    connect: bool
    replay: bool
    answers: Mapping[str, Answer] | None
    patience: float
    settings: WorkerSettings
    interrupt: Callable[[str, int], bool]


@contextlib.asynccontextmanager
async def engine(
    tasks: Tasks | None = None, **options: Unpack[EngineOptions]
) -> AsyncIterator[VirtualEngine]:
    """Make an engine in memory for a test; it executes tasks on the running loop and in threads.

    `tasks`: tasks or modules; by default all that were defined so far.
    """
    settings = options.get("settings") or WorkerSettings(root="")
    project = projects.build(tasks, settings)
    rng = random.Random(options.get("seed", 0))  # noqa: S311 - so that a test can be repeated
    store, objects, clock = MemoryStore(), MemoryObjects(), VirtualClock(options.get("now"))
    vault = Vault(lambda: rng.randbytes(32))
    project.clock = lambda: clock.now() * 1_000_000
    prices = _prices.read(settings.get("prices"))
    core = _Engine(
        store, clock=clock, rng=rng, ids=IdSource(rng), prices=prices, objects=objects, vault=vault
    )
    made = VirtualEngine(store, clock, core, objects, vault, options.get("patience", 10.0))
    await core.start()
    try:
        await _open(made, project, options)
    except BaseException:
        await core.stop()
        raise
    with connected(core) if options.get("connect", True) else contextlib.nullcontext():
        try:
            yield made
        finally:
            await made.close()


async def _open(made: VirtualEngine, project: Project, options: EngineOptions) -> None:
    answers = options.get("answers")
    made.worker = InProcessWorker(
        made.core,
        project,
        answers=answers,
        evicting=options.get("replay", False),
        interrupt=options.get("interrupt", lambda _run, _count: False),
    )
    others = [] if answers is None else [*answers, *registry.current().tasks]
    manifest = projects.manifest(project, schedules=options.get("schedules", True), others=others)
    await made.core.activate(await made.core.next_version(), manifest)
