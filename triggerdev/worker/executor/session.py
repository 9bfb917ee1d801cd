"""One attempt of a run inside its process: operations, replay, metadata, log lines, the compute clock."""

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from triggerdev import errors, protocol
from triggerdev.protocol import LogLine, Message, OpRecord, RunStart
from triggerdev.sdk import context
from triggerdev.sdk.context import Context
from triggerdev.sdk.logger import LEVELS
from triggerdev.sdk.session import MetadataScope, RunSession
from triggerdev.worker.executor import failures, metadata
from triggerdev.worker.executor.binding import Bound
from triggerdev.worker.executor.capture import LineBuffer, LogSink, now_ms
from triggerdev.worker.executor.manifest import relative_file
from triggerdev.worker.executor.project import Channel, Project
from triggerdev.worker.executor.record import MAIN, Node, Record

STALE = "stale"
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

    def __init__(self, project: Project, channel: Channel, sink: LogSink, start: RunStart) -> None:
        self.project = project
        self.start = start
        self.id = start["id"]
        self.token = start["token"]
        self.record = Record(start.get("record") or ())
        self.main = Node(MAIN)
        self.signal: errors.RunSignal | None = None
        self.divergence: errors.NonDeterminismError | None = None
        self.ended = False
        self._channel = channel
        self._sink = sink
        self._context: Context | None = None
        self._metadata: dict[str, Any] | None = None
        self._changes = metadata.Changes()
        self._flushed_at = 0.0
        self._lines: dict[tuple[str, int], LineBuffer] = {}
        self._used_before = start.get("usage_ms") or 0
        self._used_ms = 0.0
        self._since: float | None = time.perf_counter()

    # -- what subclasses provide

    @abstractmethod
    def node(self) -> Node:
        """Give the branch that runs now."""

    @abstractmethod
    def set_node(self, node: Node) -> Node:
        """Let the branch that runs now count under another node; gives the previous one."""

    @abstractmethod
    async def perform(self, op_id: str, kind: str, target: str | None, args: dict[str, Any] | None) -> Any:
        """Send an operation and wait for its result; without args it is recorded and only waited for."""

    @abstractmethod
    def post(self, op_id: str, kind: str, args: dict[str, Any]) -> None:
        """Send an operation whose result nobody waits for."""

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
        node = self.node()
        self._refuse_if_over()
        op_id = node.next_op()
        recorded = self.record.take(op_id)
        if recorded is not None:
            self._compare(recorded, op_id, kind, target)
            if recorded["done"]:
                self._take_metadata(recorded)
                return recorded.get("result")
            result = await self.perform(op_id, kind, target, None)
        else:
            self.record.go_live(node.path)
            self.send_changes()
            result = await self.perform(op_id, kind, target, args)
        if kind in protocol.WAITING_KINDS and self._metadata is not None:
            await self._refresh(f"{op_id}:r")
        return result

    def log(self, level: str, message: str, data: dict[str, Any] | None) -> None:
        limit = LEVELS.get(self.project.settings.get("log_level") or "info", 3)
        if LEVELS.get(level, 3) > limit or self._is_silent():
            return
        line = self._line("log", message)
        line["level"] = level
        if data:
            line["data"] = data
        self._sink.add(line)

    def change_metadata(self, scope: MetadataScope, change: dict[str, Any]) -> None:
        node = self.node()
        self._refuse_if_over()
        node.changes += 1
        if self.record.is_stored(node):
            stored = self.record.stored_result(node)
            if stored:
                self._metadata = dict(stored["metadata"])
            return
        if scope == "run" or (scope == "parent" and not self.start.get("parent_id")):
            metadata.apply(self._own_metadata(), change)
        self._changes.add(node.path, node.changes, scope, change)
        self.changes_waiting()

    def metadata(self) -> dict[str, Any]:
        return self._own_metadata()

    async def flush_metadata(self) -> None:
        taken = self._changes.take()
        self._flushed_at = time.monotonic()
        for op_id, args in taken:
            result = await self.perform(op_id, protocol.METADATA, None, args)
            self._metadata = dict(result["metadata"])

    async def refresh_metadata(self) -> None:
        await self.flush_metadata()
        result = await self.operate(protocol.METADATA, None, {})
        self._metadata = dict(result["metadata"])

    def usage_ms(self) -> tuple[float, float]:
        now = self._used_ms
        if self._since is not None:
            now += (time.perf_counter() - self._since) * 1000
        return now, now + self._used_before

    # -- for executors

    def signal_of(self, reason: str) -> errors.RunSignal:
        """Make the signal that ends the run: "cancelled", "timed_out" or "evicted"."""
        limit = (self.start.get("max_duration_ms") or 0) / 1000
        return SIGNALS[reason](SIGNAL_TEXTS[reason].format(limit=limit))

    def take_latest(self, message: Message) -> None:
        """Take the metadata that comes with a result; a copy that is in use is refreshed by an operation."""
        if self._metadata is None and "metadata" in message:
            self.start["metadata"] = message["metadata"]

    def changes_waiting(self) -> None:
        """React to buffered metadata changes: send them if the last ones went a second ago."""
        now = time.monotonic()
        if now - self._flushed_at >= 1.0:
            self.send_changes()

    def send_changes(self) -> None:
        """Send buffered metadata changes; later messages of the run are handled after them."""
        if not self._changes:
            return
        self._flushed_at = time.monotonic()
        for op_id, args in self._changes.take():
            self.post(op_id, protocol.METADATA, args)

    def total_usage_ms(self) -> int:
        """Give the run's compute time so far, over all attempts, in whole milliseconds."""
        return round(self.usage_ms()[1])

    def stop_clock(self) -> None:
        """Stop counting compute time: the run waits."""
        self._used_ms = self.usage_ms()[0]
        self._since = None

    def start_clock(self) -> None:
        """Count compute time again."""
        if self._since is None:
            self._since = time.perf_counter()

    def write(self, stream: str, text: str) -> None:
        """Take text that user code wrote to stdout or stderr."""
        source = (stream, threading.get_ident())  # what threads print at once must not get mixed up
        buffer = self._lines.get(source)
        if buffer is None:
            buffer = self._lines[source] = LineBuffer()
        lines = buffer.feed(text)
        if lines and not self._is_silent():
            for line in lines:
                self._sink.add(self._line(stream, line))

    def finish_lines(self) -> None:
        """Send the last, unfinished lines and all that has gathered."""
        for (stream, _), buffer in list(self._lines.items()):
            for line in buffer.finish():
                self._sink.add(self._line(stream, line))
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
    def phase(self, name: str) -> Iterator[None]:
        """Count operations in a with block under a branch of their own, as hooks need it."""
        previous = self.set_node(Node(f"{MAIN}.{name}"))
        try:
            yield
        finally:
            self.set_node(previous)

    def send(self, message: Message) -> None:
        """Send a message, after the lines that the run has printed."""
        self._sink.flush()
        self._channel.send(message)

    # -- inside

    def _refuse_if_over(self) -> None:
        if self.signal is not None:
            raise self.signal
        if self.divergence is not None:
            raise self.divergence
        if self.ended:
            raise errors.ContextError(f"Run {self.id} has ended; a background task of it cannot go on.")

    def _compare(self, recorded: OpRecord, op_id: str, kind: str, target: str | None) -> None:
        if (recorded["kind"], recorded["target"]) == (kind, target):
            return
        now, before = _name(kind, target), _name(recorded["kind"], recorded["target"])
        version, line = self.start.get("version") or "unknown", failures.user_line(self.project.root, 2)
        self.divergence = errors.NonDeterminismError(
            f"Run {self.id} was replayed (version {version}) and did another operation than before: "
            f"operation {op_id} at {line} is {now}, its record says {before}. The order of waits and "
            "triggers must not depend on time, randomness or edited code; `runs.replay` starts the run anew."
        )
        raise self.divergence

    def _take_metadata(self, recorded: OpRecord) -> None:
        if self._metadata is None or recorded["kind"] not in protocol.WAITING_KINDS:
            return
        refreshed = self.record.take(f"{recorded['op']}:r")
        if refreshed and refreshed.get("result"):
            self._metadata = dict(refreshed["result"]["metadata"])
        elif not self._changes:  # ended before it could ask: what the start message brought is the latest
            self._metadata = dict(self.start.get("metadata") or {})

    async def _refresh(self, op_id: str) -> None:
        result = await self.perform(op_id, protocol.METADATA, None, {})
        if not self._changes:
            self._metadata = dict(result["metadata"])

    def _own_metadata(self) -> dict[str, Any]:
        if self._metadata is None:
            self._metadata = dict(self.start.get("metadata") or {})
        return self._metadata

    def _is_silent(self) -> bool:
        path = self.node().path
        if path.startswith(_BEFORE_MAIN):
            path = MAIN  # these run again with the main branch, so their lines were heard as well
        return self.record.is_replaying(path)

    def _line(self, stream: Any, message: str) -> LogLine:
        return {
            "run": self.id,
            "attempt": self.start["attempt"],
            "at": now_ms(),
            "stream": stream,
            "message": message,
        }


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
