"""An attempt whose function is a coroutine: its branches, its pending operations, parking and ending."""

import asyncio
import contextvars
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from triggerdev import errors, protocol
from triggerdev._crash import crash_point, crash_point_after_turn
from triggerdev.protocol import Message, OpRecord, RunStart
from triggerdev.sdk import session as sessions
from triggerdev.worker.executor import failures
from triggerdev.worker.executor.attempt import Attempt
from triggerdev.worker.executor.binding import Bound
from triggerdev.worker.executor.branches import (
    NO_RUN,
    Branch,
    current_branch,
    is_asleep,
    joins_branches,
    waiting_at,
    waits_for_branches,
)
from triggerdev.worker.executor.capture import now_ms
from triggerdev.worker.executor.course import NOTHING, Course, has_place, is_flush
from triggerdev.worker.executor.deadline import Deadline
from triggerdev.worker.executor.operations import STALE, WAIT_TYPES, refusal
from triggerdev.worker.executor.pacing import Pacing, PendingOp
from triggerdev.worker.executor.record import MAIN, Node
from triggerdev.worker.executor.session import AttemptSession
from triggerdev.worker.executor.timers import Timers

if TYPE_CHECKING:
    from triggerdev.worker.executor.async_executor import AsyncExecutor
    from triggerdev.worker.executor.project import Plan

_CALM_TURNS = 3  # a finished task wakes the one that joins it within three turns, a callback acts in the next


class AsyncSession(AttemptSession):
    """One attempt on a loop that it shares with others."""

    def __init__(self, executor: "AsyncExecutor", start: RunStart, plan: "Plan", alone: bool = False) -> None:
        super().__init__(executor.project, executor.channel, executor.sink, start)
        self.confinement = executor.confinement
        self.alone = alone
        self.alarm = 0
        self.timers = Timers(executor.loop)
        self.pending: dict[str, PendingOp] = {}
        self.parked = False
        self.is_still = False
        self.last_step = -1
        self.attempt = Attempt(self, plan)
        self.executor = self._executor = executor
        self.branches: set[Branch] = set()
        self.pacing = Pacing(self, Course(start["record"]) if start.get("record") else NOTHING)
        self._loop = executor.loop
        self._outbox: list[Message] = []
        self._has_rung = False
        self._unanswered = 0
        self._calm = 0
        self._outcome: Message | None = None
        limit = start.get("max_duration_ms")
        self._deadline = Deadline(executor.loop, self.clock, limit, self._time_out)
        self._grace: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._hooks_running = False
        self._held: list[tuple[str, Any]] = []
        self._patience: asyncio.TimerHandle | None = None
        self._patience_is_over = False
        self._told_timer = math.inf
        self._is_ending = False

    def begin(self) -> None:
        """Start executing."""
        variables = contextvars.copy_context()
        variables.run(sessions.enter, self)
        variables.run(self.spans.enter_attempt)
        self._variables = variables
        self._deadline.arm()
        branch = Branch(
            self.attempt.execute(), session=self, node=self.main, loop=self._loop, context=variables
        )
        self._main_branch = branch
        self.adopt(branch)

    # -- branches

    def adopt(self, branch: Branch) -> None:
        """Count an asyncio task as a branch of the run."""
        self.branches.add(branch)
        branch.add_done_callback(self._branch_done, context=NO_RUN)

    def _branch_done(self, branch: "asyncio.Task[Any]") -> None:
        assert isinstance(branch, Branch)
        self.branches.discard(branch)
        self.record.leave_branch(branch.node.path)
        if self.signal is not None and not branch.cancelled():
            branch.exception()  # the signal that ended it is no news, also where nobody awaits the branch
        self.stir()
        if branch is self._main_branch:
            self._outcome = self._outcome_of(branch)
        if self._outcome is not None and not self.ended and (self.signal is None or not self.branches):
            self._finish(self._outcome)

    def _outcome_of(self, branch: Branch) -> Message:
        try:
            outcome: Message = branch.result()
        except BaseException as error:  # ended before its first step, where nothing of ours could catch it
            if self.signal is not None:
                return self.attempt.signalled(self.signal)
            return {"outcome": "failed", "error": failures.describe(error, self.project.root)}
        return outcome

    def stir(self) -> None:
        """Note that something happened, so that it is not parked before all has come to rest."""
        self._calm = 0

    def node(self) -> Node:
        branch = current_branch()
        if branch is not None and branch.session is self:
            return branch.node
        return self.main

    def set_node(self, node: Node) -> Node:
        branch = current_branch()
        assert branch is not None
        previous, branch.node = branch.node, node
        return previous

    def operating_node(self) -> Node:
        if current_branch() is None:
            raise errors.ContextError(
                "Durable operations belong to the task's own code: await them there, not in another thread."
            )
        return self.node()

    @contextmanager
    def counting(self, node: Node) -> Iterator[None]:
        branch = current_branch()  # a generator may be closed by another one
        assert branch is not None
        previous, branch.node = branch.node, node
        try:
            yield
        finally:
            branch.node = previous

    async def init_process(self) -> Any:
        return await self.project.process_init("async").on_loop()

    async def call(self, function: Bound, values: dict[str, Any]) -> Any:
        result = function(values)
        if hasattr(result, "__await__"):
            return await result
        return result

    def user_line(self) -> str | None:
        """Say where the operation is; one that is a branch by itself is where the one above it waits."""
        line = super().user_line()
        path = self.node().path
        while line is None and "." in path:
            path = path.rpartition(".")[0]
            places = [branch for branch in self.branches if _is_at(branch, path)]
            above = min(places, key=lambda branch: len(branch.node.path), default=None)
            if above is not None:
                line = failures.first_user_line(self.project.root, waiting_at(above))
        return line

    # -- operations

    async def perform(self, op_id: str, kind: str, target: str | None, args: dict[str, Any] | None) -> Any:
        entry = PendingOp(op_id, kind, target, self._loop.create_future())
        pacing = self.pacing
        if args is None:
            pacing.ask(op_id)
            self._add_pending(entry)
        else:
            self._unanswered += 1
            self._executor.ask(self, entry, args)
        try:
            result = await entry.future
        except asyncio.CancelledError:
            pacing.hearing.give_up(op_id, self._executor.turns)
            raise
        except Exception:
            pacing.hearing.note(op_id, self._executor.turns)
            raise
        finally:
            self.pending.pop(op_id, None)
        pacing.hearing.note(op_id, self._executor.turns)
        return result

    async def turn(self, op_id: str) -> None:
        if has_place(op_id) or is_flush(op_id):
            await self.pacing.turn(op_id)

    def send_operation(self, message: Message) -> None:
        """Send an operation; a parked run, which something outside has woken, does when it has its slot."""
        if self.parked and not self._is_ending:
            self._outbox.append(message)
        else:
            self.send(message)

    def post(self, op_id: str, kind: str, args: dict[str, Any], target: str | None = None) -> None:
        entry = PendingOp(op_id, kind, target, self._loop.create_future())
        self._executor.ask(self, entry, args, is_awaited=False)

    def answer(self, entry: PendingOp, reply: Message, is_awaited: bool) -> None:
        """Take the engine's reply to an operation."""
        crash_point("worker.operation_answered")
        self._unanswered -= is_awaited
        self.stir()
        if reply.get("error_kind") == STALE:
            if self.is_cancelled:
                return  # the signal comes when the on_cancel hooks have ended
            self.end(errors.RunEvicted("The run goes on elsewhere."))
        elif "error" in reply:
            self._refused(entry, reply, is_awaited)
        elif reply.get("pending"):
            if not entry.future.done():
                self._add_pending(entry)
        else:
            self.pacing.give(entry.future, reply.get("result"))

    def _refused(self, entry: PendingOp, reply: Message, is_awaited: bool) -> None:
        if is_awaited:
            self.pacing.give(entry.future, None, refusal(reply))
        elif entry.kind != protocol.METADATA:  # of that the engine tells the user
            self.log("error", f"{entry.kind} was refused: {reply['error']}", None)

    def _add_pending(self, entry: PendingOp) -> None:
        self.pending[entry.op] = entry
        self._executor.candidates.add(self)

    def deliver(self, op_id: str, result: Any) -> None:
        """Give a pending operation its result; while on_wait hooks run it is held back."""
        if self._hooks_running:
            self._held.append((op_id, result))
            return
        entry = self.pending.get(op_id)
        self.stir()
        if entry is not None:
            self.pacing.give(entry.future, result)

    # -- parking

    def try_park(self) -> None:
        """Park if every branch waits for durable operations, or for branches that do."""
        if not self.pending or self.parked or self.ended or self.signal is not None:
            self._executor.candidates.discard(self)
            return
        if self._unanswered or self._hooks_running or self.pacing.is_busy:
            return
        if self.timers and not self._is_patient_enough():
            return
        if self._calm < (_CALM_TURNS if len(self.branches) > 1 else 1):
            self._calm += 1
            self._loop.call_soon(_nothing, context=NO_RUN)  # so that there is another turn
            return
        futures = {id(entry.future) for entry in self.pending.values()}
        self._patience_is_over = False
        if all(self._is_at_rest(branch, futures) for branch in self.branches):
            self._executor.candidates.discard(self)
            self._park()

    def _is_at_rest(self, branch: Branch, futures: set[int]) -> bool:
        future: Any = getattr(branch, "_fut_waiter", None)
        if future is None or future.done():
            return False
        if id(future) in futures:
            return True
        return len(self.branches) > 1 and (waits_for_branches(branch, future) or is_asleep(branch))

    def _is_patient_enough(self) -> bool:
        """Let a run with timers keep its slot for a while; then it waits without one until they are due."""
        if self._patience_is_over:
            return True
        self._executor.candidates.discard(self)
        if self._patience is None:
            later = self._loop.call_later
            self._patience = later(self._executor.patience_seconds, self._lose_patience, context=NO_RUN)
        return False

    def _lose_patience(self) -> None:
        self._patience = None
        if self.pending and not self.parked and not self.ended:
            self._patience_is_over = True
            self._executor.candidates.add(self)

    def hold(self, call: Callable[[], None], when: float) -> bool:
        """Keep a timer that is due until the run has a slot again; false if it has one.

        The engine knows of the timers that were there when the run was parked. Another one was set by code
        that something else has woken, such as a thread: it asks for the slot itself.
        """
        if not self.parked or self._is_ending:
            return False
        if when < self._told_timer:
            self._ask_for_slot()
        self.timers.keep(call)
        return True

    def _ask_for_slot(self) -> None:
        if not self._has_rung:
            self._has_rung = True
            self.send({"t": "wake", "run": self.id, "token": self.token})

    def note_stillness(self, is_stalled: bool) -> None:
        """Note whether a step of a branch would be news: the run is parked, or its replay stands still."""
        self.is_still = is_stalled or self.parked

    def act_again(self) -> None:
        """React to a branch that acts though nothing of ours woke it; for that, a parked run needs a slot."""
        self.pacing.go_on()
        if self.parked and not self._is_ending:
            self._ask_for_slot()

    def _park(self) -> None:
        if self.attempt.has_hooks("on_wait"):
            self._run_hooks("on_wait", self._park_now)
        else:
            self._park_now()

    def _park_now(self) -> None:
        if self.ended or self.signal is not None or not self.pending:
            return
        self.parked = self.is_still = True
        crash_point("worker.parking")
        self._deadline.disarm()
        self.run_metadata.send()
        self.clock.stop()
        message: Message = {
            "t": "park",
            "run": self.id,
            "token": self.token,
            "ops": list(self.pending),
            "usage_ms": round(self.clock.total_ms),
        }
        self._told_timer = math.inf
        first = self.timers.first()
        if first is not None:
            self._told_timer = first.when()
            left = max(0.0, self._told_timer - self._loop.time())
            message["wake_at"] = now_ms() + math.ceil(left * 1000)
        self.send(message)
        crash_point_after_turn(self._loop, "worker.parked")

    def resume(self, token: int, ops: list[OpRecord]) -> None:
        """Go on under a new token, with what was completed meanwhile."""
        crash_point("worker.resumed")
        self.token = token
        self.parked = self.is_still = self._has_rung = False
        self.clock.start()
        self._deadline.arm()
        self._executor.candidates.add(self)
        if self.attempt.has_hooks("on_resume"):
            self._run_hooks("on_resume", lambda: None)
        for op in ops:
            if op["done"]:
                self.deliver(op["op"], op.get("result"))
        if not self._hooks_running:
            self.timers.go_on()  # after the results that came with the resume
        outbox, self._outbox = self._outbox, []
        for message in outbox:
            self.send({**message, "token": token})
        if self._outcome is not None:
            self._finish(self._outcome)

    def _run_hooks(self, name: str, then: Any) -> None:
        """Run on_wait or on_resume hooks in a task of their own; results are held back meanwhile."""
        self._hooks_running = True
        entry = next(iter(self.pending.values()), None)
        wait = {"type": WAIT_TYPES.get(entry.kind, entry.kind), "target": entry.target} if entry else {}
        phase = f"{name}@{entry.op.replace(':', '-') if entry else ''}"

        async def hooks() -> None:
            try:
                await self.attempt.around_wait(name, phase, wait)
            finally:
                self._hooks_running = False
                if not self._held or name == "on_resume":
                    then()
                held, self._held = self._held, []
                for op_id, result in held:
                    self.deliver(op_id, result)
                if not self.parked:
                    self.timers.go_on()  # after the results that came with the resume

        self._start_apart(hooks(), name)

    def _start_apart(self, coroutine: Any, name: str) -> Branch:
        """Start code of hooks beside the branches: it keeps no run from parking or ending."""
        node = Node(f"{MAIN}.{name}")
        branch = Branch(coroutine, session=self, node=node, loop=self._loop, context=self._variables)
        self._executor.keep(branch)
        return branch

    # -- time

    def _time_out(self) -> None:
        self.end(self.signal_of("timed_out"))

    def changes_waiting(self) -> None:
        if self._flush_timer is None:
            later = self._loop.call_later
            self._flush_timer = later(self._executor.flush_seconds, self._flush_later, context=NO_RUN)

    def _flush_later(self) -> None:
        self._flush_timer = None
        if not self.ended and self.signal is None:
            self.run_metadata.send()

    # -- ending

    def cancel(self, reason: str) -> None:
        """Call on_cancel hooks for a bounded time, then end the run."""
        signal = errors.RunCancelled("The run was cancelled.")
        self._is_ending = self.is_cancelled = True
        if self.signal is not None or not self.attempt.has_hooks("on_cancel"):
            self.end(signal)
            return
        branch = self._start_apart(self.attempt.cancelled(reason), "on_cancel")
        deadline = self._loop.call_later(self._executor.grace_seconds, self.end, signal, context=NO_RUN)

        def hooks_done(_: Any) -> None:
            deadline.cancel()
            self.end(signal)

        branch.add_done_callback(hooks_done, context=NO_RUN)

    def end(self, signal: errors.RunSignal) -> None:
        """Raise a signal in every branch; a run that ignores it twice is given up."""
        if self.signal is not None or self.ended:
            return
        self._is_ending = True
        if self._outcome is not None and not self.branches:  # it has ended while parked
            self._finish(self._outcome)
            return
        self.signal = signal
        self._deadline.disarm()
        self._ring()
        later = self._loop.call_later
        self._grace = later(self._executor.grace_seconds, self._nag, context=NO_RUN)

    def _nag(self) -> None:
        self._ring()
        self._grace = self._loop.call_later(self._executor.grace_seconds, self._give_up, context=NO_RUN)

    def _ring(self) -> None:
        self.alarm += 1
        for branch in list(self.branches):
            future = getattr(branch, "_fut_waiter", None)
            # one that joins others hears it from them, and ends after them
            if self.alarm > 1 or len(self.branches) == 1 or not joins_branches(branch, future):
                branch.cancel()

    def _give_up(self) -> None:
        assert self.signal is not None
        self._finish(self._outcome or self.attempt.signalled(self.signal))

    def _finish(self, outcome: Message) -> None:
        if self.ended:
            return
        if self.parked and not self._is_ending:
            self._ask_for_slot()  # something outside has woken it: it tells its end when it has its slot
            return
        self._deadline.disarm()
        for timer in (self._grace, self._flush_timer, self._patience):
            if timer is not None:
                timer.cancel()
        if self.signal is None:
            self.run_metadata.send_last()
        self.ended = True
        for branch in list(self.branches):
            branch.cancel()
        self.clock.stop()
        self.spans.end_attempt(outcome)
        self.finish_lines()
        self._executor.finished(self)
        if outcome["outcome"] == "evicted":
            crash_point("worker.evicting")
            suspicion = {"suspect": True} if outcome.get("suspect") else {}
            self.send({"t": "evicted", "run": self.id, "token": self.token, **suspicion})
        else:
            done = {"t": "done", "run": self.id, "token": self.token, **outcome}
            self.send({**done, "usage_ms": round(self.clock.total_ms), **self.peak()})
            crash_point_after_turn(self._loop, "worker.done_sent")


def _is_at(branch: Branch, path: str) -> bool:
    """Say whether a branch is at a path, or inside a step that it does there."""
    return branch.node.path == path or branch.node.path.startswith(f"{path}.s")


def _nothing() -> None:
    pass
