"""Several servers on one store: what an engine tells the others, hears from them, and polls for."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any, cast

from triggerdev import errors
from triggerdev.engine.commands import timers
from triggerdev.engine.context import Context, Effects
from triggerdev.engine.leases import Leases
from triggerdev.engine.store.protocol import Tx
from triggerdev.engine.store.shared import News, SharedStore, SharedTx
from triggerdev.engine.watch import Watch

_log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
STALLED_SECONDS = 20.0  # no transaction takes that long
LOOK_AGAIN_SECONDS = 5.0  # how long a caller who waits for a change trusts that the news of it will come
_FOREVER = 2**62

Submit = Callable[[Callable[[Context], Any]], "asyncio.Future[Any]"]


class Sharing:
    """One engine's part in a store of many. News are hints; a poll behind them finds what they did not bring.

    A message for a worker that is connected to another server goes through the store as mail.
    """

    def __init__(
        self,
        store: SharedStore,
        leases: Leases,
        submit: Submit,
        workers: Callable[[], list[str]],
        pump: Callable[[], None],
    ) -> None:
        self._store = store
        self._leases = leases
        self._renewed_at = math.inf
        self._submit = submit
        self._workers = workers
        self._pump = pump
        self._watches: tuple[Watch, Watch] = Watch(), Watch()
        self._poller: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, runs: Watch, logs: Watch) -> None:
        self._watches = runs, logs
        self._loop = asyncio.get_running_loop()
        self._store.listen(self._hear)
        self._poller = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        self._store.give_up()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])

    # -- leases

    async def sweep(self, workers: list[str]) -> None:
        """Renew the leases of workers and take over the runs of those whose lease is over."""
        more = True
        while more:
            more, self._renewed_at = await self._submit(lambda ctx: self._sweep(ctx, workers))

    def _sweep(self, ctx: Context, workers: list[str]) -> tuple[bool, float]:
        tx, until = cast("SharedTx", ctx.tx), ctx.now + self._leases.length_ms
        # A server renews its leases by the same connection: one whose transaction lasts longer has lost them.
        if ended := tx.end_stalled(min(STALLED_SECONDS, self._leases.length)):
            _log.warning("%d transactions of servers that stand still were ended", ended)
        for worker in workers:
            if not tx.renew_lease(worker, until):
                ctx.effects.disowned.add(worker)
        ctx.crash_points("sweep")
        now = time.monotonic()
        if self._store.clock_was_set(self._leases.length):  # then leases of the old time say nothing
            for worker in ctx.tx.expired_workers(_FOREVER):
                tx.renew_lease(worker, until)
            return False, now
        # Who is late stood still, or had no database, and then the others had none either: this once they get
        # another lease's time to show that they live.
        is_late = now - self._renewed_at > self._leases.length - self._leases.heartbeat
        before = ctx.now - (self._leases.length_ms if is_late else 0)
        return timers.take_expired(ctx, before), now

    # -- out

    def forward(self, tx: Tx, effects: Effects) -> None:
        """Store the messages for workers of other servers, in the transaction that they come from."""
        if effects.messages:
            away = self._away(effects)
            if away:
                cast("SharedTx", tx).send_mail(away)
                effects.crash_points("mail")

    def announce(self, effects: Effects) -> None:
        """Tell the other servers what a commit has changed."""
        mail = {worker for worker, _ in self._away(effects)} if effects.messages else set()
        news = News(set(effects.changed), set(effects.logged), mail, effects.pump)
        if news:
            self._store.announce(news)

    def _away(self, effects: Effects) -> list[tuple[str, Any]]:
        here = self._workers()
        return [message for message in effects.messages if message[0] not in here]

    # -- in

    def _hear(self, news: News) -> None:
        """Take news, in the thread that reads them."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._react, news)
        except RuntimeError:
            _log.debug("the loop is closed: news are dropped")

    def _react(self, news: News) -> None:
        runs, logs = self._watches
        if news.missed:
            runs.notify_all()
            logs.notify_all()
        runs.notify(news.runs)
        logs.notify(news.logs)
        if news.missed or not news.mail.isdisjoint(self._workers()):
            self._collect()
        if news.missed or news.work:
            self._pump()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._collect()
            self._pump()

    def _collect(self) -> None:
        workers = self._workers()
        if workers:
            self._submit(lambda ctx: _take_mail(ctx, workers)).add_done_callback(_log_failure)


def _take_mail(ctx: Context, workers: list[str]) -> None:
    for worker, message in cast("SharedTx", ctx.tx).take_mail(workers):
        ctx.tell(worker, message)
        ctx.crash_points("collect")


def holds(ctx: Context, worker: str) -> bool:
    """Tell if a worker has its lease, until the transaction ends; if not, its session is to hear of it."""
    if cast("SharedTx", ctx.tx).holds_lease(worker):
        return True
    ctx.effects.disowned.add(worker)
    return False


def take_over(ctx: Context, worker: str, lease_ms: int) -> None:
    """Take over completely what a worker's last session has left behind; from now on it has a lease."""
    while timers.recover(ctx, worker):
        ctx.flush()
    timers.renew(ctx, [worker], lease_ms)
    ctx.crash_points("connect")


def _log_failure(future: "asyncio.Future[Any]") -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, errors.StoppedError):
        _log.warning("messages from other servers cannot be read: %s", error)
