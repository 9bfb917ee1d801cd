"""What user code prints and logs, line by line, to the run it belongs to."""

import contextvars
import io
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TextIO

from triggerdev.protocol import LogLine, Message
from triggerdev.sdk.session import speaker
from triggerdev.worker.executor.project import Channel

MAX_LINES = 64
_MAX_LINE = 65_536
_PATIENCE_SECONDS = 0.2
_NO_RUN = contextvars.Context()


class Book(Protocol):
    """What knows the spans of a run that are to be told."""

    def take(self) -> Message | None: ...


class LogSink:
    """Gathers lines and spans of all runs and sends them in batches: each turn of the loop, or 64 lines."""

    def __init__(self, channel: Channel, loop: Any = None) -> None:
        self._channel = channel
        self._loop = loop
        self._lines: list[LogLine] = []
        self._books: dict[Book, None] = {}
        self._flushed_at = 0.0
        self._lock = threading.Lock()
        self._thread = threading.get_ident()

    def add(self, line: LogLine) -> None:
        """Take a line, from any thread."""
        with self._lock:
            self._lines.append(line)
            count = len(self._lines)
        if count >= MAX_LINES or self._loop is None:
            self.flush()
        elif count == 1:
            self._flush_soon()

    def note(self, book: Book, is_urgent: bool) -> None:
        """Note that a run has spans to tell, from any thread; without a loop those that began may wait."""
        with self._lock:
            is_first = not self._books
            self._books[book] = None
        if self._loop is None:
            if is_urgent or time.monotonic() - self._flushed_at > _PATIENCE_SECONDS:
                self.flush()
        elif is_first:
            self._flush_soon()

    def _flush_soon(self) -> None:
        here = threading.get_ident() == self._thread
        schedule = self._loop.call_soon if here else self._loop.call_soon_threadsafe
        schedule(self.flush, context=_NO_RUN)

    def flush(self) -> None:
        """Send what has gathered."""
        if not self._lines and not self._books:
            return
        self._flushed_at = time.monotonic()
        with self._lock:
            lines, self._lines = self._lines, []
            books, self._books = self._books, {}
        if lines:
            self._channel.send({"t": "logs", "lines": lines})
        for book in books:
            message = book.take()
            if message is not None:
                self._channel.send(message)


class LineBuffer:
    """Splits what a run writes to one stream into lines."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Take text and give the lines that it completes; a long one comes in pieces of 65,536 characters."""
        if text == "\n":
            line, self._rest = self._rest, ""
            return [line]
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > _MAX_LINE:
            whole = len(self._rest) - 1 - (len(self._rest) - 1) % _MAX_LINE  # something is left for its end
            lines.append(self._rest[:whole])
            self._rest = self._rest[whole:]
        return [piece for line in lines for piece in _pieces(line.removesuffix("\r"))]

    def finish(self) -> list[str]:
        """Give the last line if it has no end."""
        line, self._rest = self._rest, ""
        return [line] if line else []


def _pieces(line: str) -> Sequence[str]:
    if len(line) <= _MAX_LINE:
        return (line,)
    return [line[start : start + _MAX_LINE] for start in range(0, len(line), _MAX_LINE)]


def now_ms() -> int:
    """Give the time of a line, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class StreamProxy(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr: a run's text goes to the run, other text to the real stream."""

    def __init__(self, name: str, real: TextIO) -> None:
        self._name = name
        self._real = real

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a constant of the real stream
        return self._real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # a constant of the real stream
        return self._real.errors

    @property
    def buffer(self) -> Any:
        return self._real.buffer

    @property
    def real(self) -> TextIO:
        return self._real

    def write(self, text: str) -> int:
        running = speaker()
        write = getattr(running, "write", None)
        if write is None:
            return self._real.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        write(self._name, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]  # text only, as a text stream
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if speaker() is None:
            self._real.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._real.fileno()


def install_capture() -> None:
    """Put proxies on sys.stdout and sys.stderr; text written outside of runs passes through, line by line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    if not isinstance(sys.stdout, StreamProxy):
        sys.stdout = StreamProxy("stdout", sys.stdout)
    if not isinstance(sys.stderr, StreamProxy):
        sys.stderr = StreamProxy("stderr", sys.stderr)
