"""One attempt of a run inside its process: its state, and the parts that do what its code asks for."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from triggerdev import errors
from triggerdev.protocol import Message, RunStart
from triggerdev.sdk import context
from triggerdev.sdk.context import Context
from triggerdev.sdk.session import MetadataScope, RunSession
from triggerdev.sdk.spans import Span
from triggerdev.worker.executor import failures
from triggerdev.worker.executor.binding import Bound
from triggerdev.worker.executor.capture import LogSink
from triggerdev.worker.executor.compute import ComputeClock
from triggerdev.worker.executor.confinement import Confinement
from triggerdev.worker.executor.lines import RunLines
from triggerdev.worker.executor.manifest import relative_file
from triggerdev.worker.executor.operations import Operations
from triggerdev.worker.executor.own_metadata import OwnMetadata
from triggerdev.worker.executor.project import Channel, Project
from triggerdev.worker.executor.record import MAIN, Node, Record
from triggerdev.worker.executor.run_metadata import RunMetadata
from triggerdev.worker.executor.spans import SpanBook
from triggerdev.worker.executor.steps import Steps

if TYPE_CHECKING:
    from triggerdev.worker.executor.attempt import Attempt

_ON_CANCEL = f"{MAIN}.on_cancel"
_BEFORE_MAIN = (f"{MAIN}.init", f"{MAIN}.middleware")
SIGNALS: dict[str, type[errors.RunSignal]] = {
    "cancelled": errors.RunCancelled,
    "timed_out": errors.RunTimedOut,
    "evicted": errors.RunEvicted,
}
SIGNAL_TEXTS = {
    "cancelled": "The run was cancelled.",
    "timed_out": "The run used more compute time than its max_duration of {limit:g} s.",
    "evicted": "The run leaves this process; it goes on elsewhere from its record.",
}


class AttemptSession(RunSession):
    """What SDK calls and the lifecycle need of the attempt; subclasses say how to wait."""

    attempt: "Attempt"
    confinement: Confinement
    alone = True  # the only run that may be in this process
    sending: AbstractContextManager[Any, None] = nullcontext()  # held while metadata are changed or sent

    def __init__(self, project: Project, channel: Channel, sink: LogSink, start: RunStart) -> None:
        self.project = project
        self.start = start
        self.id = start["id"]
        self.token = start["token"]
        self.record = Record(start.get("record") or ())
        if self.record.tags is not None:
            self.start = {**start, "tags": list(self.record.tags)}
        self.main = Node(MAIN)
        self.signal: errors.RunSignal | None = None
        self.divergence: errors.NonDeterminismError | None = None
        self.ended = False
        self.is_cancelled = False
        self.locals = {}
        self._channel = channel
        self._sink = sink
        self._context: Context | None = None
        self.own = OwnMetadata(self.record)
        self.run_metadata = RunMetadata(self)
        self.operations = Operations(self)
        self.clock = ComputeClock(start.get("usage_ms") or 0)
        self.spans = SpanBook(self, self.start)
        self._lines = RunLines(self, sink)
        self._steps = Steps(self)

    # -- what subclasses provide

    @abstractmethod
    def node(self) -> Node:
        """Give the branch that runs now."""

    @abstractmethod
    def set_node(self, node: Node) -> Node:
        """Let the branch that runs now count under another node; gives the previous one."""

    def operating_node(self) -> Node:
        """Give the branch that is about to do an operation. Raises ContextError where none can."""
        return self.node()

    @abstractmethod
    async def perform(self, op_id: str, kind: str, target: str | None, args: dict[str, Any] | None) -> Any:
        """Send an operation and wait for its result; without args it is recorded and only waited for."""

    @abstractmethod
    def post(self, op_id: str, kind: str, args: dict[str, Any], target: str | None = None) -> None:
        """Send an operation whose result nobody waits for."""

    @abstractmethod
    async def init_process(self) -> Any:
        """Call the init functions of the process, unless they have been; gives the `init` of the hooks."""

    @abstractmethod
    async def call(self, function: Bound, values: dict[str, Any]) -> Any:
        """Call user code and wait for its result."""

    async def turn(self, op_id: str) -> None:
        """Wait until what came before a recorded result has happened in the replay, too."""

    # -- RunSession

    @property
    def context(self) -> Context:
        if self._context is None:
            task = self.project.tasks.get(self.start["task"])
            file = relative_file(self.project.root, task.file) if task else ""
            self._context = context.build(self.start, self.project.settings, file)
        return self._context

    async def operate(self, kind: str, target: str | None, args: dict[str, Any]) -> Any:
        return await self.operations.do(kind, target, args)

    async def step(self, name: str, function: Callable[[], Any]) -> Any:
        return await self._steps.do(name, function)

    async def call_step(self, function: Callable[[], Any]) -> Any:
        """Call a step's function and wait for its result."""
        value = function()
        return await value if hasattr(value, "__await__") else value

    def log(self, level: str, message: str, data: dict[str, Any] | None) -> None:
        self._lines.log(level, message, data)

    def begin_span(self, span: Span) -> None:
        self.spans.begin(span)

    def end_span(self, span: Span, error: BaseException | None) -> None:
        self.spans.end(span, error)

    def traceparent(self) -> str:
        return self.spans.here()

    def has_news(self, is_end: bool) -> None:
        """Have the spans sent that have gathered, at the latest with the run's next message."""
        self._sink.note(self.spans, is_end)

    def change_metadata(self, scope: MetadataScope, change: dict[str, Any]) -> None:
        self.run_metadata.change(scope, change)

    def metadata(self) -> dict[str, Any]:
        return self.run_metadata.current()

    async def flush_metadata(self) -> None:
        await self.run_metadata.flush()

    async def refresh_metadata(self) -> None:
        await self.run_metadata.refresh()

    @property
    def cost_before(self) -> float:
        return self.start.get("cost") or 0.0

    def usage_ms(self) -> tuple[float, float, float]:
        here = self.clock.attempt_ms
        total = here + (self.start.get("usage_ms") or 0)
        return here, total - (self.start.get("usage_before") or 0), total

    # -- for executors

    def peak(self) -> dict[str, int]:
        """Give the field that tells the memory of the run, if it has the process to itself."""
        peak = self.confinement.peak() if self.alone else None
        return {} if peak is None else {"peak_memory": peak}

    def user_line(self) -> str | None:
        """Say where in the user's code the operation is that is being done: "trigger/basic.py:12"."""
        return failures.user_line(self.project.root)

    def signal_of(self, reason: str) -> errors.RunSignal:
        """Make the signal that ends the run: "cancelled", "timed_out" or "evicted"."""
        limit = (self.start.get("max_duration_ms") or 0) / 1000
        return SIGNALS[reason](SIGNAL_TEXTS[reason].format(limit=limit))

    @abstractmethod
    def changes_waiting(self) -> None:
        """React to buffered metadata changes: have them sent in a second, with those that come until then."""

    def write(self, stream: str, text: str) -> None:
        """Take text that user code wrote to stdout or stderr."""
        self._lines.write(stream, text)

    def finish_lines(self) -> None:
        """Send the last, unfinished lines and all that has gathered."""
        self._lines.finish()
        self._sink.flush()

    def values(self, function: Bound, given: dict[str, Any]) -> dict[str, Any]:
        """Give what a function takes: `given` and, if it wants it, ctx."""
        needs = function.needs
        if needs is None or "ctx" in needs:
            given["ctx"] = self.context
        if needs is None or "task" in needs:
            given["task"] = self.project.tasks.get(self.start["task"])
        return given

    @contextmanager
    def counting(self, node: Node) -> Iterator[None]:
        """Count operations in a with block under another node."""
        previous = self.set_node(node)
        try:
            yield
        finally:
            self.set_node(previous)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Count operations in a with block under a branch of their own, as hooks need it."""
        return self.counting(Node(f"{MAIN}.{name}"))

    def send(self, message: Message) -> None:
        """Send a message, after the lines that the run has printed."""
        self._sink.flush()
        self._channel.send(message)

    # -- for its parts, and inside

    def refuse_if_over(self) -> None:
        """Raise what ends the run, if anything does: its code does no more operations then."""
        if self.is_cancelled and self.node().path.startswith(_ON_CANCEL):
            raise errors.ContextError(
                f"Run {self.id} is cancelled: on_cancel hooks cannot do durable operations (waits, triggers,"
                " steps, tags, metadata). Clean up by other means there; logging is possible."
            )
        if self.signal is not None:
            raise self.signal
        if self.divergence is not None:
            raise self.divergence
        if self.ended:
            raise errors.ContextError(f"Run {self.id} has ended; a background task of it cannot go on.")

    def tags(self) -> list[str]:
        """Give the tags as the run sees them."""
        return list(self.start.get("tags") or ()) if self._context is None else list(self._context.run.tags)

    def is_silent(self) -> bool:
        """Say whether what the code says now has been heard before: it is being replayed."""
        path = self.node().path
        if path.startswith(_BEFORE_MAIN):
            path = MAIN  # these run again with the main branch, so their lines were heard as well
        return self.record.is_replaying(path)


def cannot_start(start: RunStart, error: Exception, root: str) -> Message:
    """Make the end of a run whose task cannot be called."""
    info = failures.describe(error, root)
    if isinstance(error, errors.UnknownTaskError):
        info["type"] = "INTERNAL_ERROR"
        info["code"] = "COULD_NOT_FIND_TASK"
    return {
        "t": "done",
        "run": start["id"],
        "token": start["token"],
        "outcome": "failed",
        "error": info,
        "skip_retry": True,
        "usage_ms": start.get("usage_ms") or 0,
    }
