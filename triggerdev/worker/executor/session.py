"""One attempt of a run inside its process: operations, replay, metadata, log lines."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from triggerdev import errors, protocol
from triggerdev._crash import crash_point
from triggerdev.protocol import Message, OpRecord, RunStart
from triggerdev.sdk import context
from triggerdev.sdk.context import Context
from triggerdev.sdk.session import MetadataScope, RunSession
from triggerdev.sdk.spans import Span
from triggerdev.worker.executor import failures, metadata
from triggerdev.worker.executor.binding import Bound
from triggerdev.worker.executor.capture import LogSink
from triggerdev.worker.executor.compute import ComputeClock
from triggerdev.worker.executor.confinement import Confinement
from triggerdev.worker.executor.lines import RunLines
from triggerdev.worker.executor.manifest import relative_file
from triggerdev.worker.executor.own_metadata import OwnMetadata
from triggerdev.worker.executor.project import Channel, Project
from triggerdev.worker.executor.record import MAIN, Node, Record, is_branch
from triggerdev.worker.executor.spans import TRIGGERS, SpanBook
from triggerdev.worker.executor.steps import Steps

if TYPE_CHECKING:
    from triggerdev.worker.executor.attempt import Attempt

STALE = "stale"
_ON_CANCEL = f"{MAIN}.on_cancel"
_BEFORE_MAIN = (f"{MAIN}.init", f"{MAIN}.middleware")
WAIT_TYPES = {
    protocol.WAIT: "duration",
    protocol.WAIT_TOKEN: "token",
    protocol.TRIGGER_AND_WAIT: "task",
    protocol.BATCH_TRIGGER_AND_WAIT: "batch",
}
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
        self._changes = metadata.Changes()
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

    # -- RunSession

    @property
    def context(self) -> Context:
        if self._context is None:
            task = self.project.tasks.get(self.start["task"])
            file = relative_file(self.project.root, task.file) if task else ""
            self._context = context.build(self.start, self.project.settings, file)
        return self._context

    async def operate(self, kind: str, target: str | None, args: dict[str, Any]) -> Any:
        node = self.operating_node()
        self.refuse_if_over()
        op_id = node.next_op()
        recorded = self.record.take(op_id)
        if recorded is None:
            self.record.go_live(node.path)
            self.send_changes()
        else:
            self.compare(recorded, op_id, kind, target)
        result = await self._in_span(node, op_id, kind, target, args, recorded)
        if kind in protocol.WAITING_KINDS and self.own.is_used:
            await self._refresh(f"{op_id}:r")
        return result

    async def _in_span(
        self,
        node: Node,
        op_id: str,
        kind: str,
        target: str | None,
        args: dict[str, Any],
        recorded: OpRecord | None,
    ) -> Any:
        """Do an operation, or repeat it, and tell of it as a span of the run."""
        span = self.spans.operation(op_id, kind, target, args, recorded)
        if span is None:
            return await self._do(node, op_id, kind, target, args, recorded)
        if kind in TRIGGERS:
            args = {**args, "traceparent": self.spans.as_caller(span)}
        try:
            result = await self._do(node, op_id, kind, target, args, recorded)
        except BaseException as error:
            span.end(error)
            raise
        self.spans.finish(span, result, recorded)
        return result

    async def _do(
        self,
        node: Node,
        op_id: str,
        kind: str,
        target: str | None,
        args: dict[str, Any],
        recorded: OpRecord | None,
    ) -> Any:
        if recorded is None:
            return await self.perform(op_id, kind, target, args)
        crash_point("worker.replaying")
        if not recorded["done"]:
            return await self.perform(op_id, kind, target, None)
        result = await self.again(recorded)
        if kind in protocol.WAITING_KINDS:
            await self._resume_elsewhere(node.path, op_id, kind, target)
        return result

    async def again(self, recorded: OpRecord) -> Any:
        """Give a recorded result when its turn has come. Raises what an operation was refused with."""
        await self.turn(recorded["op"])
        result: Any = recorded.get("result")
        if protocol.is_refusal(result):
            raise refusal(result)
        return result

    async def turn(self, op_id: str) -> None:
        """Wait until what came before a recorded result has happened in the replay, too."""

    async def _resume_elsewhere(self, path: str, op_id: str, kind: str, target: str | None) -> None:
        """Call on_resume hooks if the branch's record ends with this wait: in another process it goes on."""
        is_last = is_branch(path) and not self.record.is_replaying(path)
        if is_last and self.attempt.has_hooks("on_resume"):
            wait = {"type": WAIT_TYPES.get(kind, kind), "target": target}
            await self.attempt.around_wait("on_resume", f"on_resume@{op_id.replace(':', '-')}", wait)

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
        node = self.node()
        self.refuse_if_over()
        node.changes += 1
        place = self.record.place_of_change(node)
        if scope == "run" or not self.start.get("parent_id"):  # then parent and root are the run itself
            self._own_metadata()
            self.own.apply(change, self.own.moment(place))
        if place is None:
            self._changes.add(node.path, node.changes, scope, change)
            self.changes_waiting()

    def metadata(self) -> dict[str, Any]:
        return self._own_metadata()

    async def flush_metadata(self) -> None:
        self.operating_node()
        self.refuse_if_over()
        node = self.node()
        flushed = self.record.take(f"{node.path}:m{node.changes}")
        if flushed is not None:
            await self.again(flushed)
        for op_id, args in self._take_changes():
            await self.perform(op_id, protocol.METADATA, None, args)

    async def refresh_metadata(self) -> None:
        await self.flush_metadata()
        node = self.node()
        now = self.own.ask()
        try:
            result = await self.operate(protocol.METADATA, None, {})
        finally:
            self.own.forgo()
        place = self.record.place(node.last_op())
        self.own.show(result["metadata"], now if place is None else place)

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

    def take_latest(self, message: Message) -> None:
        """Take the metadata that comes with a result; a copy that is in use is refreshed by an operation."""
        if not self.own.is_used and "metadata" in message:
            self.start["metadata"] = message["metadata"]

    @abstractmethod
    def changes_waiting(self) -> None:
        """React to buffered metadata changes: have them sent in a second, with those that come until then."""

    def send_changes(self) -> None:
        """Send buffered metadata changes; later messages of the run are handled after them."""
        if not self._changes and self.own.unrecorded is None:
            return
        for op_id, args in self._take_changes():
            self.post(op_id, protocol.METADATA, args)

    def send_last_changes(self) -> None:
        """Send what has gathered before the end."""
        if self._changes:
            self.send_changes()

    def warn_of_rest(self) -> None:
        """Say that the function has ended before the end of its record: operations were taken out of it."""
        left = self.record.left_in(MAIN)
        if left:
            self.record.go_live(MAIN)
            first = left[0]
            what = _name(first["kind"], first["target"])
            version = self.start.get("version") or "unknown"
            self.log(
                "warn",
                f"The replayed function (version {version}) has ended without {len(left)} of the operations "
                f"that its record has; the first is {first['op']}, {what}. They were done and stay done.",
                None,
            )

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

    def compare(self, recorded: OpRecord, op_id: str, kind: str, target: str | None) -> None:
        if (recorded["kind"], recorded["target"]) == (kind, target):
            return
        now, before = _name(kind, target), _name(recorded["kind"], recorded["target"])
        version, line = self.start.get("version") or "unknown", self.user_line() or "an unknown line"
        self.divergence = errors.NonDeterminismError(
            f"Run {self.id} was replayed (version {version}) and did another operation than before: "
            f"operation {op_id} at {line} is {now}, its record says {before}. The order of waits and "
            "triggers must not depend on time, randomness or edited code; `runs.replay` starts the run anew."
        )
        raise self.divergence

    async def _refresh(self, op_id: str) -> None:
        """Show what children have written during a wait."""
        recorded = self.record.take(op_id)
        if recorded is None:
            self.send_changes()
        now = self.own.ask()
        try:
            if recorded is None:
                result = await self.perform(op_id, protocol.METADATA, None, {})
            else:
                result = await self.again(recorded)
        finally:
            self.own.forgo()
        place = self.record.place(op_id)
        self.own.show(result["metadata"], now if place is None else place)

    def _own_metadata(self) -> dict[str, Any]:
        return self.own.current(self.start.get("metadata"))

    def tags(self) -> list[str]:
        return list(self.start.get("tags") or ()) if self._context is None else list(self._context.run.tags)

    def _take_changes(self) -> list[tuple[str, dict[str, Any]]]:
        """Give the operations that send what has gathered, the first with the metadata seen first."""
        taken = self._changes.take()
        first, self.own.unrecorded = self.own.unrecorded, None
        if first is not None:
            taken = taken or [(f"{MAIN}:m0", {})]
            taken[0][1]["base"] = first
        return taken

    def is_silent(self) -> bool:
        """Say whether what the code says now has been heard before: it is being replayed."""
        path = self.node().path
        if path.startswith(_BEFORE_MAIN):
            path = MAIN  # these run again with the main branch, so their lines were heard as well
        return self.record.is_replaying(path)


def _name(kind: str, target: str | None) -> str:
    return f"{kind} {target!r}" if target else kind


def refusal(message: Message) -> Exception:
    """Make the exception of an operation that the engine refused, of the class that it names."""
    kind = getattr(errors, str(message.get("error_kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.TriggerError)):
        kind = errors.EngineError
    error: Exception = kind.__new__(kind)
    Exception.__init__(error, message["error"])
    return error


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
