"""The worker of an engine in a test: it executes runs in this process and knows when nobody does anything."""

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from triggerdev import errors
from triggerdev.engine.engine import Engine
from triggerdev.protocol import Message, RunStart
from triggerdev.sdk import serialise
from triggerdev.testing.threads import ThreadedRun
from triggerdev.worker.executor.async_executor import AsyncExecutor
from triggerdev.worker.executor.failures import describe as describe_error
from triggerdev.worker.executor.payloads import dump_output
from triggerdev.worker.executor.project import Project

ROOM = {"async": 10_000, "sync": 100}
_ENDS = frozenset({"done", "evicted"})
_ORDERS = frozenset({"cancel", "evict"})
_FROM_NOWHERE = contextvars.Context()
_MISSING = object()

Answer = Any  # an output, an exception to fail with, or a function of the payload that gives or raises one


class InProcessWorker:
    """Executes coroutines on the running loop and plain functions in threads.

    `answers` are given in place of executing the runs of children, by task id. With `evicting`, every run
    that waits leaves at once and goes on from its record. `interrupt` is asked after each operation,
    with the run and the count of its operations, whether the run is lost there.
    """

    def __init__(
        self,
        engine: Engine,
        project: Project,
        *,
        answers: Mapping[str, Answer] | None = None,
        evicting: bool = False,
        interrupt: Callable[[str, int], bool] = lambda _run, _count: False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop_before = _LoopState(self._loop)
        self._engine = engine
        self._project = project
        self._answers = answers
        self._evicting = evicting
        self._interrupt = interrupt
        self._executor = AsyncExecutor(project, self)
        self._outbox: list[Message] = []
        self._threads: dict[str, ThreadedRun] = {}
        self._tokens: dict[str, int] = {}
        self._starts: dict[str, RunStart] = {}
        self._busy: set[str] = set()
        self._operations: dict[str, int] = {}
        self._messages = 0
        self._answering: set[asyncio.Future[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._session = engine.connect("test", self._deliver, self._free)

    # -- for the engine

    def _free(self) -> dict[str, int]:
        busy = [self._kind(self._starts[run]["task"]) for run in self._busy if run in self._starts]
        return {kind: room - busy.count(kind) for kind, room in ROOM.items()}

    def _kind(self, task: str) -> str:
        known = self._project.tasks.get(task)
        return known.kind if known is not None else "async"

    def _deliver(self, messages: list[Message]) -> None:
        for message in messages:
            _FROM_NOWHERE.copy().run(self._take, message)

    def _take(self, message: Message) -> None:
        self._messages += 1
        kind = message["t"]
        if kind == "lease_lost":
            self.let_all_go()
            return
        run = message["run"]["id"] if kind == "start" else message["run"]
        if kind != "start" and run not in self._starts:
            self._answer_for_another(message)
            return
        if kind == "start":
            self._starts[run] = message["run"]
            self._hold(run, message["run"]["token"])
        elif kind == "resume" or (kind in _ORDERS and self._tokens.get(run) == message["token"]):
            self._hold(run, message["token"])
        elif kind == "reply" and self._is_lost_here(run):
            self._pass_on(run, {"t": "evict", "run": run, "token": self._tokens[run]})
            return
        self._pass_on(run, message)

    def _answer_for_another(self, message: Message) -> None:
        """Answer what was meant for the session before this one: its runs are not here."""
        if message["t"] in ("resume", "evict"):
            self.send({"t": "evicted", "run": message["run"], "token": message["token"]})

    def _hold(self, run: str, token: int) -> None:
        self._tokens[run] = token
        self._busy.add(run)
        self._quiet.clear()

    def _is_lost_here(self, run: str) -> bool:
        self._operations[run] = self._operations.get(run, 0) + 1
        return run in self._busy and self._interrupt(run, self._operations[run])

    def _pass_on(self, run: str, message: Message) -> None:
        if message["t"] == "start" and self._is_answered(message["run"]):
            self._answer_later(message["run"])
        elif self._kind(self._starts[run]["task"]) == "async":
            self._executor.handle(message)
        elif message["t"] == "start":
            thread = ThreadedRun(self._project, self._say_from_thread)
            self._threads[run] = thread
            thread.start(message)
        elif run in self._threads:
            self._threads[run].handle(message)
        elif message["t"] == "resume":
            self.send({"t": "evicted", "run": run, "token": message["token"]})

    # -- children that are not executed

    def _is_answered(self, run: RunStart) -> bool:
        return self._answers is not None and run["parent_id"] is not None

    def _answer_later(self, run: RunStart) -> None:
        task = self._loop.create_task(self._answer(run))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, run: RunStart) -> None:
        assert self._answers is not None
        done: Message = {"t": "done", "run": run["id"], "token": run["token"], "usage_ms": 0}
        try:
            output = await self._answer_of(run)
            done.update(outcome="ok", output=dump_output(output), output_type=serialise.JSON)
        except Exception as error:
            done.update(outcome="failed", error=describe_error(error, self._project.root), skip_retry=True)
        self.send(done)

    async def _answer_of(self, run: RunStart) -> Any:
        answers = self._answers or {}
        answer = answers.get(run["task"], _MISSING)
        if answer is _MISSING:
            made = await self._engine.retrieve_run(run["id"])
            if not made.run.trigger_function.endswith("AndWait"):
                return None  # nobody waits for it
            raise errors.ContextError(
                f"Nobody said what {run['task']!r} answers; say it: children={{{run['task']!r}: ...}}."
            )
        if callable(answer):
            answer = answer(serialise.load(run["payload"], run["payload_type"]))
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    # -- for executors

    def send(self, message: Message) -> None:
        """Take a message of the loop's thread; all of one turn go to the engine together."""
        self._messages += 1
        if not self._outbox:
            self._loop.call_soon(self._flush, context=_FROM_NOWHERE.copy())
        self._outbox.append(message)

    def _say_from_thread(self, message: Message) -> None:
        self._loop.call_soon_threadsafe(self.send, message, context=_FROM_NOWHERE.copy())

    def _flush(self) -> None:
        messages, self._outbox = self._outbox, []
        self._session.receive(messages)
        for message in messages:
            if message["t"] in _ENDS or message["t"] == "park":
                self._let_go(message)

    def _let_go(self, message: Message) -> None:
        run, token = message["run"], message["token"]
        if self._tokens.get(run) != token:
            return  # an earlier copy of the run, which has been started again since
        if message["t"] in _ENDS:
            del self._tokens[run]
            self._threads.pop(run, None)
        elif self._evicting:
            self._pass_on(run, {"t": "evict", "run": run, "token": token})
            return
        self._busy.discard(run)
        if not self._busy:
            self._quiet.set()

    # -- for the test

    async def idle(self) -> None:
        """Wait until no run executes and everything that was said is stored."""
        while True:
            await self._quiet.wait()
            heard = self._messages
            # whoever waits here may be cancelled; what is being stored may not
            await asyncio.shield(self._session.flushed())
            await self._engine.settled()
            if heard == self._messages and self._quiet.is_set():
                return

    @property
    def executing(self) -> list[RunStart]:
        """The runs in user code."""
        return [self._starts[run] for run in self._busy]

    def let_all_go(self) -> None:
        """Have every run that is still here leave; `finally` blocks of user code run."""
        for run, token in list(self._tokens.items()):
            self._take({"t": "evict", "run": run, "token": token})

    def restore_loop(self) -> None:
        """Take away what executing runs has put on the loop."""
        self._loop_before.restore(self._loop)


class _LoopState:
    """What an executor changes of a loop."""

    _PATCHED = ("call_at", "_run_once")

    def __init__(self, loop: Any) -> None:
        if not isinstance(loop, asyncio.BaseEventLoop):
            raise errors.ContextError(
                f"An engine for tests needs one of asyncio's own event loops, this is {type(loop).__name__}."
                " Use triggerdev.testing.sync, which brings its own."
            )
        self._factory = loop.get_task_factory()
        self._own = {name: vars(loop)[name] for name in self._PATCHED if name in vars(loop)}

    def restore(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_task_factory(self._factory)
        for name in self._PATCHED:
            vars(loop).pop(name, None)
        vars(loop).update(self._own)
