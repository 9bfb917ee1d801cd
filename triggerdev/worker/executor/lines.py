"""What a run says: lines of its output and of its logger, each told once, however often they are replayed."""

import threading
from typing import TYPE_CHECKING, Any

from triggerdev.protocol import LogLine
from triggerdev.sdk.logger import LEVELS
from triggerdev.worker.executor.capture import LineBuffer, LogSink, now_ms

if TYPE_CHECKING:
    from triggerdev.worker.executor.session import AttemptSession


class RunLines:
    """The lines of one attempt, on their way to the sink."""

    def __init__(self, session: "AttemptSession", sink: LogSink) -> None:
        self._session = session
        self._sink = sink
        self._buffers: dict[tuple[str, int], LineBuffer] = {}

    def log(self, level: str, message: str, data: dict[str, Any] | None) -> None:
        """Take a line of the logger, if its level is told at all."""
        limit = LEVELS.get(self._session.project.settings.get("log_level") or "info", 3)
        if LEVELS.get(level, 3) > limit or self._session.is_silent():
            return
        line = self._line("log", message, level)
        if data:
            line["data"] = data
        self._say(line)

    def write(self, stream: str, text: str) -> None:
        """Take text that user code wrote to stdout or stderr."""
        source = (stream, threading.get_ident())  # what threads print at once must not get mixed up
        buffer = self._buffers.get(source)
        if buffer is None:
            buffer = self._buffers[source] = LineBuffer()
        lines = buffer.feed(text)
        if lines and not self._session.is_silent():
            for line in lines:
                self._say(self._line(stream, line))

    def finish(self) -> None:
        """Say the last, unfinished lines."""
        for (stream, _), buffer in list(self._buffers.items()):
            for line in buffer.finish():
                self._say(self._line(stream, line))

    def _say(self, line: LogLine) -> None:
        self._sink.add(line)
        spans = self._session.spans
        if spans.mirror is not None:
            spans.mirror.line(line, spans)

    def _line(self, stream: Any, message: str, level: str | None = None) -> LogLine:
        session = self._session
        clock = session.project.clock
        line: LogLine = {
            "run": session.id,
            "attempt": session.start["attempt"],
            "at": now_ms() if clock is None else clock() // 1_000_000,
            "stream": stream,
            "message": message,
        }
        if level is not None:
            line["level"] = level
        span = session.spans.line_span()
        if span is not None:
            line["span"] = span
        return line
