"""Frames on a stream socket: a 4-byte big-endian length, then a JSON array of messages.

The length's highest bit says that the array goes on in the next frame: a message can be longer than a frame.

A frame may carry file descriptors; they travel with its first byte, so a reader that takes the header by
itself never mixes up the descriptors of two frames.
"""

import asyncio
import contextlib
import contextvars
import os
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from triggerdev import _json
from triggerdev.protocol import Message
from triggerdev.worker import plain

MAX_FRAME_BYTES = 512 * 1024 * 1024  # less than any four letters are as a length
_MORE = 0x8000_0000
_HEADER = struct.Struct(">I")
_READ_BYTES = 256 * 1024
_MAX_FDS = 8
_NO_CONTEXT = contextvars.Context()  # what is scheduled for a run must not run in that run's context


def encode_frame(messages: Sequence[Message]) -> bytes:
    """Encode messages as one frame, or as several where they are too long for one.

    What JSON cannot hold is replaced, so that no message is lost for it.
    """
    try:
        body = _json.dump_bytes(messages)
    except (TypeError, ValueError, RecursionError):
        body = _json.dump_bytes(plain.make_plain(messages))
    if len(body) > MAX_FRAME_BYTES and len(messages) > 1:
        half = len(messages) // 2
        return encode_frame(messages[:half]) + encode_frame(messages[half:])
    if len(body) <= MAX_FRAME_BYTES:
        return _HEADER.pack(len(body)) + body
    parts = [body[start : start + MAX_FRAME_BYTES] for start in range(0, len(body), MAX_FRAME_BYTES)]
    more = [_HEADER.pack(len(part) | _MORE) + part for part in parts[:-1]]
    return b"".join([*more, _HEADER.pack(len(parts[-1])), parts[-1]])


class FrameBuffer:
    """Collects bytes and gives back the messages of each array that is complete."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self._data += data

    def take(self) -> list[Message]:
        """Return the messages of all complete frames, in order. Raises ValueError for a frame over 512 MB."""
        messages: list[Message] = []
        start, data = 0, self._data
        while len(data) - start >= _HEADER.size:
            (header,) = _HEADER.unpack_from(data, start)
            length = header & ~_MORE
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"A frame of {length} bytes; at most {MAX_FRAME_BYTES} are allowed.")
            end = start + _HEADER.size + length
            if len(data) < end:
                break
            self._parts.append(bytes(memoryview(data)[start + _HEADER.size : end]))
            start = end
            if not header & _MORE:
                messages += _json.loads(b"".join(self._parts))
                self._parts = []
        if start:
            del data[:start]
        return messages


class BlockingChannel:
    """A channel for code without an event loop. `send` may be called from any thread, `receive` from one.

    A signal handler that raises must not do so in the middle of a frame: while `busy` is true it calls
    `defer` instead, and the deferred call is made when the frame is complete.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._frames = FrameBuffer()
        self._ready: deque[Message] = deque()
        self._deferred: Callable[[], None] | None = None
        self._main = threading.get_ident()
        self.busy = False
        sock.setblocking(True)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message) -> None:
        """Send one message as a frame of its own. Raises OSError when the other side is gone."""
        self.send_all([message])

    def send_all(self, messages: Sequence[Message]) -> None:
        """Send messages as one frame. Raises OSError when the other side is gone."""
        frame = encode_frame(messages)
        with self._undisturbed(), self._lock:
            self._sock.sendall(frame)

    def receive(self) -> Message:
        """Wait for the next message. Raises EOFError when the other side has closed."""
        while not self._ready:
            if not self._fill():
                raise EOFError("The supervisor has closed the channel.")
        return self._ready.popleft()

    def defer(self, call: Callable[[], None]) -> None:
        """Make this call as soon as the frame in hand is complete."""
        self._deferred = call

    def close(self) -> None:
        self._sock.close()

    def _fill(self) -> bool:
        wait_readable(self._sock)  # a signal handler may raise here: nothing has been taken yet
        with self._undisturbed():
            try:
                data = self._sock.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            self._frames.feed(data)
            self._ready.extend(self._frames.take())
        return bool(data)

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        if threading.get_ident() != self._main or self.busy:
            yield
            return
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
            call, self._deferred = self._deferred, None
            if call is not None:
                call()


def wait_readable(sock: socket.socket) -> None:
    """Wait until a socket has data or is closed."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll()


class ControlChannel:
    """The child's end of a control socket: blocking, with file descriptors in both frames and hands."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message) -> None:
        """Send one message. Raises OSError when the other side is gone."""
        self._sock.sendall(encode_frame([message]))

    def receive(self) -> tuple[list[Message], list[int]] | None:
        """Wait for the next frame; returns its messages and descriptors, or None at the end."""
        try:
            header, fds, _, _ = socket.recv_fds(self._sock, _HEADER.size, _MAX_FDS)
        except ConnectionResetError:  # the other side went without having read what was sent to it
            return None
        if not header:
            return None
        header += self._exactly(_HEADER.size - len(header))
        (length,) = _HEADER.unpack(header)
        return _json.loads(self._exactly(length)), list(fds)

    def close(self) -> None:
        self._sock.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._sock.recv(count - len(data))
            if not chunk:
                raise EOFError("The control socket was closed in the middle of a frame.")
            data += chunk
        return data


class AsyncChannel:
    """A channel on an event loop. What one turn of the loop sends leaves as one frame.

    `on_messages` gets the messages of everything that was read at once; `on_close` is called once, when the
    other side has closed or the connection failed, never after `close`.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_messages: Callable[[list[Message]], None],
        on_close: Callable[[], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._sock = sock
        self._on_messages = on_messages
        self._on_close = on_close
        self._loop = loop or asyncio.get_running_loop()
        self._frames = FrameBuffer()
        self._outbox: list[Message] = []
        self._segments: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._writing = False
        self._lock = threading.RLock()
        self._thread = threading.get_ident()
        self.is_closed = False
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._read)

    def send(self, message: Message) -> None:
        """Queue one message, from any thread; it leaves at the end of this turn of the loop."""
        with self._lock:
            if not self._outbox and not self.is_closed:
                here = threading.get_ident() == self._thread
                schedule = self._loop.call_soon if here else self._loop.call_soon_threadsafe
                schedule(self.flush, context=_NO_CONTEXT)
            self._outbox.append(message)

    def send_from_thread(self, message: Message) -> None:
        """Send one message, and what is queued, from another thread while the loop may be blocked."""
        with self._lock:
            self._outbox.append(message)
            frame = encode_frame(self._outbox)
            self._outbox = []
            if self.is_closed:
                return
            self._segments.append((memoryview(frame), ()))
            try:
                while self._segments and self._send_segment():
                    pass
            except OSError:
                return  # the loop finds out by itself
            if self._segments:
                self._loop.call_soon_threadsafe(self._write)

    def send_fds(self, message: Message, fds: Sequence[int]) -> None:
        """Send one message with file descriptors; they are closed here once they have left."""
        self.flush()
        if self.is_closed:
            _close_fds(fds)
            return
        self._segments.append((memoryview(encode_frame([message])), tuple(fds)))
        self._write()

    def flush(self) -> None:
        """Send what is queued now instead of at the end of the turn."""
        with self._lock:
            messages, self._outbox = self._outbox, []
            if messages and not self.is_closed:
                self._segments.append((memoryview(encode_frame(messages)), ()))
                self._write()

    def drain(self) -> None:
        """Take what has arrived already, for a process that is known to be gone."""
        while not self.is_closed and self._read():
            pass

    def close(self) -> None:
        """Close the socket; what is queued is sent if the socket takes it at once."""
        self.flush()
        self._shut()

    def _shut(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.remove_reader(self._sock.fileno())
        if self._writing:
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _, fds in self._segments:
            _close_fds(fds)
        self._segments.clear()

    def _read(self) -> bool:
        """Read once; true when there may be more."""
        try:
            data = self._sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._lost()
            return False
        self._frames.feed(data)
        try:
            messages = self._frames.take()
        except ValueError:  # the process has written something else into its socket
            self._lost()
            return False
        if messages:
            self._on_messages(messages)
        return True

    def _write(self) -> None:
        with self._lock:
            while self._segments and not self.is_closed:
                try:
                    if not self._send_segment():
                        break
                except OSError:
                    self._lost()
                    return
            self._watch_writable(bool(self._segments) and not self.is_closed)

    def _send_segment(self) -> bool:
        """Send some of the first segment; false when the socket is full. Raises OSError when it is gone."""
        data, fds = self._segments[0]
        try:
            sent = socket.send_fds(self._sock, [data], list(fds)) if fds else self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return False
        _close_fds(fds)
        if sent == len(data):
            self._segments.popleft()
        else:
            self._segments[0] = (data[sent:], ())
        return True

    def _watch_writable(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._sock.fileno(), self._write)
        elif self._writing and not wanted and not self.is_closed:
            self._loop.remove_writer(self._sock.fileno())
        self._writing = wanted

    def _lost(self) -> None:
        if self.is_closed:
            return
        self._outbox.clear()
        self._shut()
        self._on_close()


def _close_fds(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
