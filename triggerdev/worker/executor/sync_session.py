"""An attempt whose function is plain: it blocks on its channel, and signals interrupt only user code."""

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.protocol import Message, RunStart
from triggerdev.sdk.calls import drive
from triggerdev.sdk.session import MetadataScope
from triggerdev.sdk.spans import Span
from triggerdev.worker.executor.attempt import Attempt
from triggerdev.worker.executor.binding import Bound
from triggerdev.worker.executor.operations import STALE, WAIT_TYPES, refusal
from triggerdev.worker.executor.record import Node
from triggerdev.worker.executor.session import AttemptSession

if TYPE_CHECKING:
    from triggerdev.worker.executor.project import Plan
    from triggerdev.worker.executor.sync_executor import SyncExecutor

T = TypeVar("T")
_NODE: contextvars.ContextVar[tuple[object, Node]] = contextvars.ContextVar("triggerdev_node")
_NOWHERE: tuple[object, None] = (None, None)


class SyncSession(AttemptSession):
    """One attempt that has the process to itself."""

    def __init__(self, executor: "SyncExecutor", start: RunStart, plan: "Plan") -> None:
        super().__init__(executor.project, executor.channel, executor.sink, start)
        self.confinement = executor.confinement
        self.attempt = Attempt(self, plan)
        self._executor = executor
        self._thread = threading.get_ident()
        self._in_user_code = False
        self._is_receiving = False
        self._interruption: errors.RunSignal | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.sending = threading.RLock()  # changes of metadata are sent by this thread or by a timer's
        self._flush_timer: threading.Timer | None = None

    def node(self) -> Node:
        session, node = _NODE.get(_NOWHERE)
        return node if session is self and node is not None else self.main

    def operating_node(self) -> Node:
        if threading.get_ident() != self._thread:
            raise errors.ContextError(
                "Durable operations belong to the task's own code: do them there, not in another thread."
            )
        return self.node()

    def set_node(self, node: Node) -> Node:
        previous = self.node()
        _NODE.set((self, node))
        return previous

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        """Make the asyncio tasks of hooks (a task factory): those that one starts are branches of it."""
        if asyncio.current_task(loop) is not None:
            context = options.get("context") or contextvars.copy_context()
            context.run(self.set_node, self.node().child())
            options["context"] = context
        return asyncio.Task(coroutine, loop=loop, **options)

    # -- interrupting

    def interrupt(self, signal: errors.RunSignal) -> None:
        """Raise a signal here if user code runs or the run waits, else at the next change to user code."""
        if self.signal is None:
            self.signal = signal
        self._interruption = self.signal
        if self._in_user_code or self._is_receiving:
            self._raise_interruption()

    def _raise_interruption(self) -> None:
        interruption, self._interruption = self._interruption, None
        if interruption is not None:
            raise interruption

    def _user(self, work: Callable[[], T]) -> T:
        """Do work of the user's, in which an interruption may be raised."""
        with self._user_code():
            return work()

    @contextlib.contextmanager
    def _framework(self) -> Iterator[None]:
        """Keep interruptions out of a with block; one that came meanwhile is raised after it."""
        if threading.get_ident() != self._thread:
            yield  # they are the main thread's
            return
        previous, self._in_user_code = self._in_user_code, False
        try:
            yield
        finally:
            self._in_user_code = previous
            if previous:
                self._raise_interruption()

    @contextlib.contextmanager
    def _user_code(self) -> Iterator[None]:
        """Let interruptions be raised in a with block."""
        previous, self._in_user_code = self._in_user_code, True
        try:
            self._raise_interruption()
            yield
        finally:
            self._in_user_code = previous

    # -- RunSession, with interruptions kept out

    async def operate(self, kind: str, target: str | None, args: dict[str, Any]) -> Any:
        with self._framework():
            return await super().operate(kind, target, args)

    async def step(self, name: str, function: Callable[[], Any]) -> Any:
        with self._framework():
            return await super().step(name, function)

    async def call_step(self, function: Callable[[], Any]) -> Any:
        with self._user_code():
            return await super().call_step(function)

    async def flush_metadata(self) -> None:
        with self._framework():
            await super().flush_metadata()

    def log(self, level: str, message: str, data: dict[str, Any] | None) -> None:
        with self._framework():
            super().log(level, message, data)

    def begin_span(self, span: Span) -> None:
        with self._framework():
            super().begin_span(span)

    def end_span(self, span: Span, error: BaseException | None) -> None:
        with self._framework():
            super().end_span(span, error)

    def change_metadata(self, scope: MetadataScope, change: dict[str, Any]) -> None:
        with self._framework():
            super().change_metadata(scope, change)

    def changes_waiting(self) -> None:
        """Have a thread send what has gathered in a while: this one may compute for hours."""
        if self._flush_timer is None:
            self._flush_timer = threading.Timer(self._executor.flush_seconds, self._flush_later)
            self._flush_timer.daemon = True
            self._flush_timer.start()

    def _flush_later(self) -> None:
        with self.sending, contextlib.suppress(OSError):  # the other side is gone: the process ends, too
            self._flush_timer = None
            if not self.ended and self.signal is None:
                self.run_metadata.send()

    def write(self, stream: str, text: str) -> None:
        with self._framework():
            super().write(stream, text)

    # -- calling user code

    async def init_process(self) -> Any:
        return self.project.process_init("sync").here(lambda function: self.call(function, {}), drive)

    async def call(self, function: Bound, values: dict[str, Any]) -> Any:
        if "next" in values:
            return self._call_middleware(function, values)
        result = self._user(lambda: function(values))
        if hasattr(result, "__await__"):
            return self._user(lambda: self._await(result))
        return result

    def _call_middleware(self, function: Bound, values: dict[str, Any]) -> Any:
        go_on = values["next"]

        def rest() -> Any:
            with self._framework():
                return drive(go_on())

        if inspect.iscoroutinefunction(function.function):
            return self._user(lambda: self._around(function, values, rest))
        return self._user(lambda: function({**values, "next": rest}))

    def _around(self, function: Bound, values: dict[str, Any], rest: Callable[[], Any]) -> Any:
        """Run an async middleware up to next(), then the rest outside of its loop, then its second half."""
        loop = self._own_loop()
        reached = loop.create_future()
        outcome = loop.create_future()

        async def go_on() -> Any:
            reached.set_result(None)
            return await outcome

        task = asyncio.ensure_future(function({**values, "next": go_on}), loop=loop)
        loop.run_until_complete(asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED))
        if reached.done():
            try:
                outcome.set_result(rest())
            except BaseException as error:
                outcome.set_exception(error)
        else:
            reached.cancel()
        return loop.run_until_complete(task)

    def _await(self, awaitable: Any) -> Any:
        async def to_end() -> Any:
            return await awaitable

        return self._own_loop().run_until_complete(to_end())

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_task_factory(self._make_task)
        return self._loop

    def close(self) -> None:
        """Close the loop that async hooks ran on, and send no more changes."""
        with self.sending:
            if self._flush_timer is not None:
                self._flush_timer.cancel()
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._loop = None

    # -- operations

    async def perform(self, op_id: str, kind: str, target: str | None, args: dict[str, Any] | None) -> Any:
        if args is not None:
            reply = self._ask(op_id, kind, target, args)
            if not reply.get("pending"):
                return reply.get("result")
        return await self._wait(op_id, kind, target)

    def post(self, op_id: str, kind: str, args: dict[str, Any], target: str | None = None) -> None:
        self._executor.ask(self, op_id, kind, target, args)

    def _ask(self, op_id: str, kind: str, target: str | None, args: dict[str, Any]) -> Message:
        number = self._executor.ask(self, op_id, kind, target, args)
        while True:
            message = self._receive()
            if message["t"] == "reply" and message["id"] == number:
                crash_point("worker.operation_answered")
                if message.get("error_kind") == STALE:
                    self._stop(errors.RunEvicted("The run goes on elsewhere."))
                if "error" in message:
                    raise refusal(message)
                return message

    async def _wait(self, op_id: str, kind: str, target: str | None) -> Any:
        wait = {"type": WAIT_TYPES.get(kind, kind), "target": target}
        place = op_id.replace(":", "-")
        await self.attempt.around_wait("on_wait", f"on_wait@{place}", wait)
        while True:
            self.run_metadata.send()
            self.clock.stop()
            usage = round(self.clock.total_ms)
            crash_point("worker.parking")
            self.send({"t": "park", "run": self.id, "token": self.token, "ops": [op_id], "usage_ms": usage})
            crash_point("worker.parked")
            try:
                results = self._wait_for_results()
            finally:
                self.clock.start()
            if op_id in results:
                await self.attempt.around_wait("on_resume", f"on_resume@{place}", wait)
                return results[op_id]

    def _wait_for_results(self) -> dict[str, Any]:
        """Wait until the run may go on; gives results by operation.

        An `op_done` here has crossed our `park`: when that arrives, the engine resumes the run with the same
        result and under a new token.
        """
        while True:
            message = self._receive()
            is_ours = message["t"] == "resume" and message["run"] == self.id
            if is_ours and message["old"] == self.token:
                crash_point("worker.resumed")
                self.token = message["token"]
                self.run_metadata.take_latest(message)
                return {op["op"]: op.get("result") for op in message["ops"] if op["done"]}

    def _receive(self) -> Message:
        self._is_receiving = True
        try:
            self._raise_interruption()
            message = self._executor.channel.receive()
        finally:
            self._is_receiving = False
        self._obey(message)
        return message

    def _obey(self, message: Message) -> None:
        """Follow an order to end the run, if it is one."""
        if message.get("run") != self.id or message.get("token") != self.token:
            return
        if message["t"] == "evict" or (message["t"] == "cancel" and message.get("reason") == "lease_lost"):
            self._stop(
                errors.RunEvicted("The run leaves this process; it goes on elsewhere from its record.")
            )
        if message["t"] == "cancel":
            self.is_cancelled = True
            drive(self.attempt.cancelled(message.get("reason") or "cancelled"))
            self._stop(errors.RunCancelled("The run was cancelled."))

    def _stop(self, signal: errors.RunSignal) -> None:
        self.signal = self.signal or signal
        raise self.signal
