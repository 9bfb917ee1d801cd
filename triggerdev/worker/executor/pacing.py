"""When the branches of a run get their results: as they come, or as the record tells in a replay.

Results that come while the branches are in motion are held back until these have come to rest, so that what a
replay has to repeat is only in which order results were given, and which of them together.

A replay gives recorded results in the order in which they were heard, each once all branches wait and all
that was asked for before it has been asked for again. Where the code did not go on by a result but by a
timer of its own, such as that of a timeout, the timer acts at once.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from triggerdev.worker.executor.branches import NO_RUN, Branch, Rest, rest_of
from triggerdev.worker.executor.course import ASKED, HEARD, Course, Hearing

if TYPE_CHECKING:
    from triggerdev.worker.executor.async_session import AsyncSession

_CALM_TURNS = 5  # gather in gather wakes who joins it within this many turns of the loop
_MOST_TURNS = 100  # a branch that never rests holds nobody up for longer
_MOST_TIMERS = 1000  # that bring no progress: such as those of a loop that sleeps
_BUDGET = 60.0  # seconds that a replay may stand still altogether
_PATIENCE = {Rest.CERTAIN: 0.0, Rest.LIKELY: 1.0, Rest.NONE: 10.0}


class PendingOp:
    """An operation that a branch waits for."""

    __slots__ = ("future", "kind", "op", "target")

    def __init__(self, op: str, kind: str, target: str | None, future: "asyncio.Future[Any]") -> None:
        self.op = op
        self.kind = kind
        self.target = target
        self.future = future


class Pacing:
    """Gives results to the branches of one run."""

    __slots__ = (
        *("_arrived", "_blocked_at", "_blocked_left", "_budget", "_course", "_executor", "_given_at"),
        *("_hurried", "_is_hurrying", "_loop", "_session", "_since", "_stall", "_turns", "hearing"),
    )

    def __init__(self, session: "AsyncSession", course: Course) -> None:
        self.hearing = Hearing(course.outstanding)
        self._session = session
        self._executor = session.executor
        self._loop = session.executor.loop
        self._course = course
        self._turns: dict[str, asyncio.Future[None]] = {}
        self._arrived: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
        self._since = 0
        self._given_at = -1
        self._hurried = 0
        self._is_hurrying = False
        self._stall: asyncio.TimerHandle | None = None
        self._blocked_left = -1
        self._blocked_at = 0.0
        self._budget = _BUDGET

    @property
    def is_busy(self) -> bool:
        """Say whether results wait to be given, or a replay has not come to its end."""
        return bool(self._course.events or self._arrived or self._turns)

    def give(self, future: "asyncio.Future[Any]", result: Any, error: Exception | None = None) -> None:
        """Give a result that has come, now or when the branches rest."""
        turn = self._executor.turns
        is_calm = self._is_calm() and (turn == self._given_at or turn - self._given_at >= _CALM_TURNS)
        if self.is_busy or (len(self._session.branches) > 1 and not is_calm):
            self._await_calm()
            self._arrived.append((future, result, error))
        else:
            self._given_at = turn
            _set(future, result, error)

    def ask(self, op_id: str) -> None:
        """Note that the replay waits for a recorded operation that is not done."""
        if self._course.events:
            self._course.ask(op_id)
            self._await_calm()

    async def turn(self, op_id: str) -> None:
        """Wait until a recorded result may be given."""
        if len(self._session.branches) == 1 and not self._arrived and self._course.passes(op_id):
            self.hearing.note(op_id, self._executor.turns)
            return
        self._course.ask(op_id)
        future = self._turns[op_id] = self._loop.create_future()
        self._await_calm()
        try:
            await future
        except asyncio.CancelledError:
            self.hearing.give_up(op_id, self._executor.turns)
            raise
        finally:
            del self._turns[op_id]
        self.hearing.note(op_id, self._executor.turns)

    def holds_back(self, owner: Branch | None) -> bool:
        """Say whether a timer that is due must not act yet: in a replay it does when it did before."""
        if self._is_hurrying or self._session.signal is not None:
            return False
        if not self._course.events:
            return self._waits_for_rest()
        if self._hurried >= _MOST_TIMERS:
            return False
        future = getattr(owner, "_fut_waiter", None)
        if future not in self._futures() and self._rest() is Rest.NONE:
            return False
        self._await_calm()
        return True

    def _waits_for_rest(self) -> bool:
        """Say whether a timer of branches in motion has to wait until they rest, as it does in a replay."""
        is_calm = self._is_calm() and self._executor.turns - self._given_at >= _CALM_TURNS
        if is_calm or len(self._session.branches) == 1:
            return False
        self._await_calm()
        return self._executor.turns < self._since + _MOST_TURNS

    def go_on(self) -> None:
        """React to a branch that acts after nothing did."""
        if self._stall is not None:
            self._await_calm()

    # -- each turn of the loop

    def act(self) -> None:
        """Give the next results if everything has come to rest."""
        session = self._session
        if session.ended or session.signal is not None:
            self._stop()
            return
        if self._executor.turns < self._since + _MOST_TURNS and not self._is_calm():
            self._loop.call_soon(_nothing, context=NO_RUN)
            return
        event = self._course.next()
        if event is None:
            self._release()
        elif event[0] == HEARD:
            self._give_recorded()
        elif event[0] != ASKED and event[1] not in self._turns and event[1] not in session.pending:
            self._course.skip()  # the branch has given it up again
            self._loop.call_soon(_nothing, context=NO_RUN)
        else:
            self._hurry()

    def _is_calm(self) -> bool:
        return self._executor.turns - self._session.last_step >= _CALM_TURNS

    def _await_calm(self) -> None:
        if self not in self._executor.replaying:
            self._executor.replaying.add(self)
            self._since = self._executor.turns

    def _stop(self) -> None:
        self._executor.replaying.discard(self)
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
            self._session.note_stillness(False)

    def _release(self) -> None:
        """Give what nobody had heard when the record ended, in the order in which it came about."""
        if self._turns:
            when = {op: self._course.when(op) for op in self._turns}
            first = min(when.values())
            for op in [op for op, at in when.items() if at == first]:
                _set(self._turns[op], None, None)
            self._mark_given()
            return
        arrived, self._arrived = self._arrived, []
        for future, result, error in arrived:
            _set(future, result, error)
            self._given_at = self._executor.turns - 1  # as between two turns: more would come in another one
        if arrived and self._session.timers:  # those that are due act when what was given has had its effect
            self._mark_given()
            return
        self._stop()
        self._is_hurrying = True
        self._session.timers.fire_due()
        self._is_hurrying = False

    def _give_recorded(self) -> None:
        for op in self._course.take_together(self._turns):
            future = self._turns.get(op)  # a branch may have given it up this time
            if future is not None:
                _set(future, None, None)
        self._mark_given()

    def _mark_given(self) -> None:
        """Let the branches come to rest again before more is given."""
        self._since = self._session.last_step = self._executor.turns
        self._loop.call_soon(_nothing, context=NO_RUN)

    def _hurry(self) -> None:
        """Let the code come to what it did before: by its first timer, or by itself, for a while."""
        left, now = len(self._course.events), self._loop.time()
        if left != self._blocked_left:
            self._blocked_left, self._blocked_at, self._hurried = left, now, 0
        if self._stall is not None and self._hurried >= _MOST_TIMERS:
            self._executor.replaying.discard(
                self
            )  # each step of a loop that sleeps would begin the wait anew
            return
        rest = self._rest()
        timers = self._timers_to_run()
        self._stop()
        if now - self._blocked_at >= self._budget:
            self._skip(None)
        elif rest is not Rest.NONE and timers and self._hurried < _MOST_TIMERS:
            self._run_early(timers)
        else:
            patience = _PATIENCE[Rest.NONE if timers else rest] * self._executor.patience_seconds
            step = self._session.last_step if self._hurried < _MOST_TIMERS else None
            self._stall = self._loop.call_later(patience, self._skip, step, context=NO_RUN)
            self._session.note_stillness(True)

    def _timers_to_run(self) -> list[asyncio.TimerHandle]:
        """Choose what brings the code on: timeouts of the waits that it gave up, or else a sleep's end."""
        timers, pending = self._session.timers, self._session.pending
        given_up = self._course.given_up_together()
        futures = [self._turns.get(op) or (pending[op].future if op in pending else None) for op in given_up]
        chosen = timers.around({id(future) for future in futures if future is not None})
        chosen = chosen or timers.beside({id(future) for future in self._futures()})
        first = timers.first()
        return chosen or ([first] if first is not None else [])

    def _run_early(self, timers: Sequence[asyncio.TimerHandle]) -> None:
        """Let timers act: one, or as many as have acted in one turn before."""
        self._hurried += 1
        self._is_hurrying = True
        for timer in timers:
            if not timer.cancelled():  # by one before it
                timer._run()
                timer.cancel()
        self._is_hurrying = False
        self._await_calm()
        self._loop.call_soon(_nothing, context=NO_RUN)

    def _skip(self, step: int | None) -> None:
        """Pass over what does not come: the code was changed, or waits for something outside for long.

        `step`: the last one when the waiting began; None if it does not matter that there were others.
        """
        self._stall = None
        self._session.note_stillness(False)
        if step in (None, self._session.last_step) and self._course.events:
            self._budget -= self._loop.time() - self._blocked_at
            self._course.skip()
        self._await_calm()
        self._loop.call_soon(_nothing, context=NO_RUN)

    def _futures(self) -> list[Any]:
        return [*self._turns.values(), *(entry.future for entry in self._session.pending.values())]

    def _rest(self) -> Rest:
        futures = {id(future) for future in self._futures()}
        return min((rest_of(branch, futures) for branch in self._session.branches), default=Rest.NONE)


def _set(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _nothing() -> None:
    pass
