"""Deleting what is old while the engine works: small steps with pauses, so that nobody waits for it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from triggerdev import errors
from triggerdev.engine.clock import Clock, steady_ns
from triggerdev.engine.commands import retention
from triggerdev.engine.commands.retention import Position, Retention
from triggerdev.engine.context import Context

_log = logging.getLogger(__name__)
PASS_SECONDS = 60.0
SWEEP_SECONDS = 3600.0  # between looks at everything that is stored beside the database
JUMP_MS = 3_600_000
_FIRST_STEP = 25  # rows; a step that is quick makes the next one larger
_STEP_SECONDS = 0.01
_SHARE = 10  # of the time: a pass takes at most a tenth of it, and each step in a pass a fifth

Submit = Callable[[Callable[[Context], Any]], "asyncio.Future[Any]"]


class Cleaner:
    """Makes a pass each minute, and `sweep`s stored bodies each hour. A full disk puts it off, logged once.

    After a jump of the clock (a database's; that of SystemClock has none) by an hour or more nothing is
    deleted for an hour: what is old only by a clock that is wrong for a moment would be gone for ever.
    """

    def __init__(
        self, submit: Submit, clock: Clock, keep: Retention, sweep: Callable[[], Awaitable[int]]
    ) -> None:
        self._submit = submit
        self._sweep = sweep
        self._swept_at = 0.0
        self._clock = clock
        self._keep = keep
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._offset: int | None = None
        self._quiet_until = 0

    def start(self) -> None:
        self._has_jumped()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def clean(self) -> int:
        """Delete everything that may go now; returns how many rows (runs, batches, tokens, lines) went."""
        at: Position | None = Position()
        limit, deleted = _FIRST_STEP, 0
        while at is not None:
            came_from = at
            at, took = await self._submit(_timed(self._keep, at, limit))
            if at is not None and at.stage == came_from.stage and at.stage != "lanes":  # nobody sees those
                deleted += max(0, at.deleted - came_from.deleted)
            limit = _adapted(limit, took)
            await asyncio.sleep(4 * took)
        return deleted

    async def _run(self) -> None:
        pause = PASS_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._has_jumped():
                continue
            began = time.monotonic()
            await self._try()
            pause = max(PASS_SECONDS, (_SHARE - 1) * (time.monotonic() - began))

    async def _try(self) -> None:
        try:
            await self.clean()
            await self._sweep_bodies()
        except errors.StoppedError:
            raise
        except Exception as error:
            if not self._failing:
                _log.warning("what is old cannot be deleted, which is tried again each minute: %s", error)
            self._failing = True
        else:
            self._failing = False

    async def _sweep_bodies(self) -> None:
        if time.monotonic() >= self._swept_at:
            self._swept_at = time.monotonic() + SWEEP_SECONDS
            await self._sweep()

    def _has_jumped(self) -> bool:
        """Tell if the clock has jumped within the last hour."""
        steady = steady_ns() // 1_000_000
        offset = self._clock.now() - steady
        jump = 0 if self._offset is None else offset - self._offset
        self._offset = offset
        if abs(jump) >= JUMP_MS:
            self._quiet_until = steady + JUMP_MS
            _log.warning("the clock jumped by %d s: nothing old is deleted for an hour", jump // 1000)
        return steady < self._quiet_until


def _timed(keep: Retention, at: Position, limit: int) -> Callable[[Context], tuple[Position | None, float]]:
    """Make a step that also tells how many seconds it took, without the time that it waited."""

    def step(ctx: Context) -> tuple[Position | None, float]:
        began = time.perf_counter()
        return retention.step(ctx, keep, at, limit), time.perf_counter() - began

    return step


def _adapted(limit: int, took: float) -> int:
    """Choose how many rows come next: rows differ by a thousand times in what deleting them costs."""
    if took > 2 * _STEP_SECONDS:
        return max(1, limit // 4)
    return min(retention.MOST, limit * 2) if took < _STEP_SECONDS / 2 else limit
