"""The engine: the asyncio shell round the synchronous core. What servers and workers call."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from triggerdev._prices import NO_PRICES, Prices
from triggerdev._traces import TraceContext
from triggerdev.engine import answers
from triggerdev.engine.bodies import Bodies
from triggerdev.engine.cleaning import Cleaner
from triggerdev.engine.clock import Clock, IdSource, SystemClock
from triggerdev.engine.commands import (
    batches,
    finish,
    operations,
    queues,
    requests,
    schedules,
    timers,
    traces,
)
from triggerdev.engine.commands import trigger as triggering
from triggerdev.engine.commands.retention import Retention
from triggerdev.engine.commands.traces import MOST_SPANS
from triggerdev.engine.committer import Command, Committer
from triggerdev.engine.context import Context, Effects
from triggerdev.engine.dispatcher import Deliver, Dispatcher, Free, Session
from triggerdev.engine.leases import Leases
from triggerdev.engine.model import (
    Batch,
    BatchCreated,
    Environment,
    ItemsAccepted,
    LogEntry,
    Page,
    Run,
    RunDetail,
    RunEvent,
    RunFilter,
    RunTrace,
    TriggerItem,
    TriggerResult,
)
from triggerdev.engine.objects.protocol import ObjectStore
from triggerdev.engine.queues import Queues
from triggerdev.engine.schedules import Schedules
from triggerdev.engine.sharing import LOOK_AGAIN_SECONDS, POLL_SECONDS, Sharing, holds, take_over
from triggerdev.engine.shell import Shell
from triggerdev.engine.store.protocol import Store, Tx
from triggerdev.engine.store.shared import SharedStore
from triggerdev.engine.tasks import TaskTable
from triggerdev.engine.timer import Timer
from triggerdev.engine.tokens import Tokens
from triggerdev.engine.variables import Variables
from triggerdev.engine.vault import Vault
from triggerdev.engine.watch import Feed, Watch
from triggerdev.protocol import INLINE_BYTES, Manifest, TaskInfo

T = TypeVar("T")
_log = logging.getLogger(__name__)

_LONGEST_SLEEP = 30.0
_SHORTEST_SHARED_SLEEP = 0.01  # what is due may be in another server's hands already


class Engine:
    """One environment's runs. All methods run on one asyncio loop; every answer is durable.

    `concurrency_limit`: how many runs execute at the same time, in all queues, at all servers of the store.
    Payloads and outputs of more than `inline_bytes` go to `objects`; without one, everything is in the
    database. `vault` seals the environment variables of tasks.

    Refusals are `errors.EngineError` and its kinds; a full disk is StorageFullError.
    """

    def __init__(
        self,
        store: Store,
        *,
        environment: Environment | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        ids: IdSource | None = None,
        leases: Leases | None = None,
        retention: Retention | None = None,
        prices: Prices = NO_PRICES,
        concurrency_limit: int | None = None,
        objects: ObjectStore | None = None,
        inline_bytes: int = INLINE_BYTES,
        vault: Vault | None = None,
    ) -> None:
        self.environment = environment or Environment()
        self._store = store
        shared = store if isinstance(store, SharedStore) else None
        self._clock = clock or (shared.clock if shared else SystemClock())
        self._rng = rng or random.SystemRandom()
        self._ids = ids or IdSource()
        self._tasks = TaskTable()
        self._prices = prices
        self._leases = leases or Leases()
        self._sharing = None
        if shared:
            self._sharing = Sharing(shared, self._leases, self._submit, self._workers, self.pump)
        forward = self._sharing.forward if self._sharing else None
        patience = shared.patience if shared else None
        self._committer = Committer(store, self._context, self._carry_out, forward, patience)
        self.bodies = None if objects is None else Bodies(objects, self._clock, self._ids, inline_bytes)
        self._shell = Shell(store, self._committer, self._context, self.pump)
        self.tokens = Tokens(self._shell, self.bodies)
        self.schedules = Schedules(self._shell)
        self.queues = Queues(self._shell, concurrency_limit)
        self.variables = Variables(self._shell, vault)
        self._dispatcher = Dispatcher(
            self._committer,
            lambda: self._tasks,
            self._leases,
            holds if shared else None,
            limit=concurrency_limit,
            bodies=self.bodies,
        )
        self._runs = Watch()
        self._logs = Watch()
        self._listeners: list[Callable[[RunEvent], None]] = []
        self._trust = LOOK_AGAIN_SECONDS if shared else math.inf
        self._timer = Timer(
            self._clock,
            self.tick,
            shortest=_SHORTEST_SHARED_SLEEP if shared else 0.0,
            longest=POLL_SECONDS if shared else _LONGEST_SLEEP,
        )
        self._sweeper: asyncio.Task[None] | None = None
        self._cleaner = Cleaner(self._submit, self._clock, retention or Retention(), self.sweep_bodies)

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store and take over what a previous process left executing.

        On a store with other servers: what is left of workers whose lease is over. (What a worker of the same
        name has left is taken over when that connects.) Raises AlreadyRunningError, EnvironmentProblemError.
        """
        self._store.open()
        self._committer.start()
        try:
            if self._sharing is not None:
                self._sharing.start(self._runs, self._logs)
                await self.sweep()
            else:
                while await self._committer.submit(lambda ctx: timers.recover(ctx, None)):
                    pass
            await self.tick()
        except BaseException:
            await self.stop()
            raise
        self._sweeper = asyncio.create_task(self._sweep_forever())
        self._cleaner.start()

    async def stop(self) -> None:
        """Finish what is under way and close the store. The next start takes over what executes."""
        self._timer.stop()
        self._dispatcher.pause()
        await self._cleaner.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        if self._sharing is not None:
            await self._sharing.stop()
        self._dispatcher.close()
        await self._committer.stop()
        self._shell.close()
        self._store.close()

    async def next_version(self) -> str:
        """Give out a version's name: YYYYMMDD.N."""
        return str(await self._committer.submit(_next_version))

    async def activate(
        self, version: str, manifest: Manifest, on_active: Callable[[], None] = lambda: None
    ) -> None:
        """Make a version the current one: its tasks, queues and schedules count from now on.

        `on_active` is called just before its first runs are given out. Raises InvalidOptionError if a queue
        or a schedule of it cannot be used; nothing changes then.
        """
        await self._committer.submit(lambda ctx: self._register(ctx, manifest))
        self._tasks = TaskTable(version, manifest)
        on_active()
        self._dispatcher.pump()
        await self.tick()

    def _register(self, ctx: Context, manifest: Manifest) -> None:
        ctx.tasks = TaskTable(None, manifest)
        ctx.crash_points("activate")
        schedules.register(ctx, manifest, self.environment.type, first=self._tasks.version is None)
        queues.register(ctx, manifest)

    # -- workers -----------------------------------------------------------------------------------

    def connect(self, worker: str, deliver: Deliver, free: Free) -> Session:
        """Open a worker's session: `deliver` takes messages for it, `free` tells its room by kind.

        Names are unique among all servers of a store: a session takes over what the last of its name left.
        It gets no runs before its lease is stored, so none can be with a worker whose end nobody would see.
        """
        return self._dispatcher.connect(worker, deliver, free, lambda ctx: self._give_lease(ctx, worker))

    def _give_lease(self, ctx: Context, worker: str) -> None:
        if self._sharing is None:
            timers.renew(ctx, [worker], self._leases.length_ms)
        else:
            take_over(ctx, worker, self._leases.length_ms)

    def disconnect(self, worker: str) -> None:
        """Close a session. Its runs are taken over when its lease is over."""
        self._dispatcher.disconnect(worker)

    def pump(self) -> None:
        """Look for runs to give out; to be called when a worker has room again."""
        self._dispatcher.pump()

    def pause(self) -> None:
        """Give out no more runs."""
        self._dispatcher.pause()

    def listen(self, listener: Callable[[RunEvent], None]) -> None:
        """Call a function with every event of a run, after its commit."""
        self._listeners.append(listener)

    # -- triggering ----------------------------------------------------------------------------------

    async def trigger(
        self, item: TriggerItem, *, request: str | None = None, caller: TraceContext | None = None
    ) -> TriggerResult:
        """Make a run. A repeated `request`, within an hour, answers with the run of the first.

        `caller`: the span whose trace the run continues.
        """
        origin = triggering.Origin(trace=caller)
        if self.bodies is not None:
            item = await self.bodies.item(item)
        return await self._shell.do_and_pump(
            lambda ctx: requests.once(
                ctx, request, lambda: triggering.trigger(ctx, item, origin), answers.made_run
            )
        )

    async def create_batch(
        self,
        *,
        run_count: int,
        idempotency_key: str | None = None,
        idempotency_ttl_ms: int | None = None,
        parent_id: str | None = None,
        request: str | None = None,
    ) -> BatchCreated:
        def create(ctx: Context) -> BatchCreated:
            return requests.once(
                ctx,
                request,
                lambda: batches.create(ctx, run_count, idempotency_key, idempotency_ttl_ms, parent_id),
                lambda batch_id: BatchCreated(batch_id, run_count, is_cached=False),
            )

        return await self._shell.do(create)

    async def add_batch_items(
        self, batch_id: str, items: list[TriggerItem], *, caller: TraceContext | None = None
    ) -> ItemsAccepted:
        if self.bodies is not None:
            items = [await self.bodies.item(item) for item in items]
        return await self._shell.do_and_pump(lambda ctx: batches.add_items(ctx, batch_id, items, caller))

    async def retrieve_batch(self, batch_id: str) -> Batch:
        return await self._shell.read(lambda ctx: batches.retrieve(ctx, batch_id))

    # -- runs ----------------------------------------------------------------------------------------

    async def retrieve_run(self, run_id: str) -> RunDetail:
        return await self._shell.read(lambda ctx: answers.detail(ctx, run_id))

    async def wait_run(
        self, run_id: str, *, since_rev: int, timeout: float, until_final: bool = True
    ) -> RunDetail:
        """Retrieve a run once it has changed since a `rev`, at the latest after `timeout` s.

        One that is final is not waited for, unless `until_final` is false: its tags can still change.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            armed = self._runs.arm(run_id)
            try:
                detail = await self.retrieve_run(run_id)
            except BaseException:
                self._runs.disarm(run_id, armed)
                raise
            left = deadline - loop.time()
            is_over = until_final and detail.run.status.is_final
            if is_over or detail.run.rev > since_rev or left <= 0:
                self._runs.disarm(run_id, armed)
                return detail
            await self._runs.wait(run_id, armed, min(left, self._trust))

    async def retrieve_runs(self, ids: Collection[str]) -> dict[str, Run]:
        """Retrieve the runs of these ids that exist, without their relatives."""
        return await self._shell.read(lambda ctx: ctx.tx.get_runs(ids))

    def open_feed(self) -> Feed:
        """Begin to note every run that changes, here or on another server; to be closed with `close_feed`."""
        return self._runs.open_feed()

    def close_feed(self, feed: Feed) -> None:
        self._runs.close_feed(feed)

    async def wait_feed(self, feed: Feed, runs: Collection[str], timeout: float) -> None:
        """Wait until a feed has news, at most `timeout` seconds; `runs` says whose are waited for.

        On a store of several servers it is also worth a look when this returns early without news.
        """
        await feed.wait(min(timeout, self._trust))

    async def list_runs(
        self, where: RunFilter, *, size: int = 25, after: str | None = None, before: str | None = None
    ) -> Page[Run]:
        first, last = answers.cursor(after), answers.cursor(before)
        runs = await self._shell.read(lambda ctx: ctx.tx.list_runs(where, size + 1, first, last))
        return answers.page(runs, size, lambda run: str(run.seq), after, before)

    async def cancel_run(self, run_id: str) -> None:
        await self._shell.do(lambda ctx: finish.cancel(ctx, run_id))

    async def replay_run(
        self, run_id: str, overrides: dict[str, Any], *, request: str | None = None
    ) -> TriggerResult:
        if self.bodies is not None and overrides.get("payload") is not None:
            kind = overrides.get("payloadType", "application/json")
            text, kind = await self.bodies.put_away(overrides["payload"], kind)
            overrides = {**overrides, "payload": text, "payloadType": kind}
        return await self._shell.do_and_pump(
            lambda ctx: requests.once(
                ctx, request, lambda: triggering.replay(ctx, run_id, overrides), answers.made_run
            )
        )

    async def reschedule_run(self, run_id: str, delay: str) -> RunDetail:
        await self._shell.do(lambda ctx: timers.reschedule(ctx, run_id, delay))
        return await self.retrieve_run(run_id)

    async def add_tags(self, run_id: str, tags: list[str]) -> int:
        return await self._shell.do(lambda ctx: operations.add_tags(ctx, ctx.run(run_id), tags))

    async def reset_key(self, task: str, key: str) -> None:
        """Free the idempotency key of a task. Raises NoSuchRunError if it has none."""
        await self._shell.do(lambda ctx: requests.reset_key(ctx, task, key))

    async def update_metadata(self, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._shell.do(lambda ctx: answers.update_metadata(ctx, run_id, body))

    @property
    def scheduled_tasks(self) -> list[str]:
        """The tasks of the current version that schedules can run."""
        return self._tasks.scheduled_ids

    # -- tasks, logs -----------------------------------------------------------------------------------

    def list_tasks(self) -> list[TaskInfo]:
        return list(self._tasks)

    async def read_logs(self, run_id: str, *, after_seq: int = 0, limit: int = 1000) -> list[LogEntry]:
        return await self._shell.read(lambda ctx: ctx.tx.read_logs(run_id, after_seq, limit))

    async def read_trace(self, run_id: str, *, most: int = MOST_SPANS) -> RunTrace:
        """Read the spans of a run and its descendants, at most so many."""
        return await self._shell.read(lambda ctx: traces.read(ctx, run_id, most))

    async def wait_logs(self, run_id: str, *, after_seq: int, timeout: float) -> list[LogEntry]:
        """Read a run's log lines after a `seq`, waiting up to `timeout` seconds for the first."""
        armed = self._logs.arm(run_id)
        try:
            found = await self.read_logs(run_id, after_seq=after_seq)
            if found:
                return found
            await self._logs.wait(run_id, armed, timeout)
            return await self.read_logs(run_id, after_seq=after_seq)
        finally:
            self._logs.disarm(run_id, armed)

    # -- the shell -------------------------------------------------------------------------------------

    def _context(self, tx: Tx) -> Context:
        return Context(tx, self._clock.now(), self._ids, self._rng, self._tasks, self._prices)

    def _submit(self, command: Command) -> "asyncio.Future[Any]":
        return self._committer.submit(command)

    def _workers(self) -> list[str]:
        return self._dispatcher.workers

    def _carry_out(self, effects: Effects) -> None:
        if self._sharing is not None:
            self._sharing.announce(effects)
        if effects.messages:
            self._dispatcher.tell(effects.messages)
        if effects.changed:
            self._runs.notify(effects.changed)
        if effects.logged:
            self._logs.notify(effects.logged)
        if effects.disowned:
            self._dispatcher.lose_leases(effects.disowned)
        for event in effects.events:
            self._tell_listeners(event)
        if effects.due_at is not None:
            self._timer.set(effects.due_at)
        if effects.pump:
            self._dispatcher.pump()
        if effects.pump_soon:
            self._dispatcher.pump_soon()

    def _tell_listeners(self, event: RunEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                _log.exception("a listener failed on the event %r of run %s", event.kind, event.run)

    # -- time ------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Carry out everything that is due now. The engine's own timer does it too, whenever something is."""
        more = True
        while more:
            self._timer.forget()  # from here on, each commit's effects say what is due next
            more = await self._committer.submit(_tick)
        if not self._timer.is_set:
            self._timer.set(None)

    async def sweep(self) -> None:
        """Renew the leases of connected workers and take over the runs of those whose lease is over."""
        leased = self._dispatcher.leased
        if self._sharing is not None:
            await self._sharing.sweep(leased)
            return
        while await self._committer.submit(lambda ctx: timers.sweep(ctx, leased, self._leases.length_ms)):
            pass

    async def clean(self) -> int:
        """Delete what is older than the retention says and needed no more; returns how many rows went."""
        return await self._cleaner.clean()

    async def sweep_bodies(self) -> int:
        """Delete stored bodies that nothing has named for a day; returns how many objects went."""
        return 0 if self.bodies is None else await self.bodies.sweep(self._needed_bodies)

    async def _needed_bodies(self, keys: list[str]) -> set[str]:
        return await self._shell.read(lambda ctx: ctx.tx.needed_bodies(keys))

    async def settled(self) -> None:
        """Wait until all that was asked so far is committed and no run is being given out."""
        await self._committer.submit(_nothing)
        while self._dispatcher.is_claiming:
            await self._committer.submit(_nothing)
        await self._dispatcher.delivered()

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:
                _log.warning("leases cannot be renewed: %s", error)
            await asyncio.sleep(self._leases.heartbeat)


def _tick(ctx: Context) -> bool:
    more = timers.tick(ctx)
    finish.settle(ctx)
    ctx.flush()
    ctx.wake_at(ctx.tx.next_due(scheduled=ctx.tasks.scheduled_ids))
    return more


def _nothing(ctx: Context) -> None:
    """Change nothing: its answer says that all before it is committed."""


def _next_version(ctx: Context) -> str:
    from datetime import UTC, datetime

    day = datetime.fromtimestamp(ctx.now / 1000, UTC).strftime("%Y%m%d")
    return f"{day}.{ctx.tx.count_up('version-' + day)}"


__all__ = ["Command", "Engine"]
