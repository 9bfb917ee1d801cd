"""Which parked runs stay in their process: those with short waits, as long as there is room."""

import asyncio
import heapq
import math
import time
from collections import deque
from typing import TYPE_CHECKING

from triggerdev.protocol import WAIT, Message
from triggerdev.worker import memory
from triggerdev.worker.events import SupervisorEvent
from triggerdev.worker.worker_process import Placement

if TYPE_CHECKING:
    from triggerdev.worker.dispatcher import Dispatcher

_LOOK_SECONDS = 1.0
_MEASURE_SECONDS = 2.0
_TELL_SECONDS = 60.0
_MAX_AT_ONCE = 500
_BETWEEN_SECONDS = 0.05
_ALMOST_OVER = 2.0
_MANY_WAITS = 64
_SHARE = 10  # this part of the parked runs is evicted before memory is measured again


class Parking:
    """Keeps account of parked runs and evicts some, those first that are expected to wait longest.

    A run with timers of its own code is left alone: a replay would start them anew, so they would never be
    due.
    """

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits
        self._parked: dict[str, Placement] = {}  # in the order in which they parked
        self._plain: dict[str, Placement] = {}  # those of them that hold a process
        self._long: deque[tuple[Placement, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._measured_at = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self._told_at = -_TELL_SECONDS

    def note_wait(self, placement: Placement, message: Message) -> None:
        """Note when an operation that the run is about to wait for will be over, if its message says so."""
        if message["kind"] != WAIT:
            return
        args, now = message["args"], self._dispatcher.loop.time()
        left = args["for_ms"] / 1000 if "for_ms" in args else args["until"] / 1000 - time.time()
        if left <= 0:
            return
        if len(placement.waits) > _MANY_WAITS:
            placement.waits = {op: due for op, due in placement.waits.items() if due > now}
        placement.waits[message["op"]] = now + left

    def add(self, placement: Placement, message: Message) -> None:
        """Take in a run that has parked."""
        now = self._dispatcher.loop.time()
        known = placement.waits
        placement.waits = {op: known[op] for op in message["ops"] if op in known}
        placement.parked_at = now
        placement.due = min(placement.waits.values()) if len(placement.waits) == len(message["ops"]) else None
        if "wake_at" in message:
            return
        self._parked[placement.run] = placement
        if placement.worker.kind == "sync":
            self._plain[placement.run] = placement
            if len(self._plain) > self._limits.parked:
                self._dispatcher.loop.call_soon(self._make_room)
        if self._limits.evict_after and placement.outlook(now) > self._limits.evict_after:
            self._long.append((placement, placement.token))
        if self._timer is None:
            self._timer = self._dispatcher.loop.call_later(_LOOK_SECONDS, self._look)

    def remove(self, placement: Placement) -> None:
        """Forget a run that is not parked any more, or has to leave."""
        if self._parked.get(placement.run) is placement:
            del self._parked[placement.run]
            self._plain.pop(placement.run, None)

    def _make_room(self) -> None:
        """Keep the limit of processes that are held by plain functions."""
        surplus = len(self._plain) - self._limits.parked
        if surplus > 0:
            self._evict_longest(self._plain, surplus)

    def _look(self) -> None:
        """Evict whoever has waited or will wait for too long, a part of them at a time; look at memory."""
        self._timer = None
        if self._dispatcher.is_stopping:
            return
        now = self._dispatcher.loop.time()
        leaving = self._take_long(now) + self._take_old(now)
        for placement in leaving:
            self._evict(placement)
        self._measure(now)
        if self._parked:
            pause = _BETWEEN_SECONDS if len(leaving) >= _MAX_AT_ONCE else _LOOK_SECONDS
            self._timer = self._dispatcher.loop.call_later(pause, self._look)

    def _take_long(self, now: float) -> list[Placement]:
        taken: list[Placement] = []
        while self._long and len(taken) < _MAX_AT_ONCE:
            placement, token = self._long.popleft()
            is_here = self._parked.get(placement.run) is placement and placement.token == token
            if is_here and placement.outlook(now) > _ALMOST_OVER:
                taken.append(placement)
        return taken

    def _take_old(self, now: float) -> list[Placement]:
        taken: list[Placement] = []
        since = now - (self._limits.evict_after or math.inf)
        for placement in self._parked.values():
            if placement.parked_at > since or len(taken) >= _MAX_AT_ONCE:
                break
            taken.append(placement)
        return taken

    def _evict(self, placement: Placement) -> None:
        if placement.ending is None:
            self._dispatcher.evict(placement)
        else:
            self.remove(placement)

    def _evict_longest(self, among: dict[str, Placement], count: int) -> None:
        now = self._dispatcher.loop.time()
        for placement in heapq.nlargest(count, among.values(), key=lambda each: each.outlook(now)):
            self._evict(placement)

    # -- memory

    def _measure(self, now: float) -> None:
        limit = self._limits.memory
        if limit is None or now < self._measured_at + _MEASURE_SECONDS or self._measuring is not None:
            return
        self._measured_at = now
        pids = [worker.pid for worker in self._dispatcher.workers() if worker.pid is not None]
        if memory.resident(pids) > limit:  # which counts shared pages for each process
            self._measuring = self._dispatcher.loop.create_task(self._relieve(pids, limit))

    async def _relieve(self, pids: list[int], limit: int) -> None:
        try:
            used = await asyncio.to_thread(memory.proportional, pids)
            if used > limit and self._parked and not self._dispatcher.is_stopping:
                self._tell(used, limit)
                self._evict_longest(self._parked, -(-len(self._parked) // _SHARE))
        finally:
            self._measuring = None

    def _tell(self, used: int, limit: int) -> None:
        now = self._dispatcher.loop.time()
        if now < self._told_at + _TELL_SECONDS:
            return
        self._told_at = now
        text = (
            f"Worker processes use {used >> 20} MB, more than the limit of {limit >> 20} MB: runs that wait "
        )
        text += "leave their process, and go on from their record."
        self._dispatcher.tell(SupervisorEvent("memory", text, {"used": used, "limit": limit}))
