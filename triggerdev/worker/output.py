"""Lines that processes write to their file descriptors 1 and 2, past everything that Python captures."""

import asyncio
import os
from collections.abc import Callable

_READ_BYTES = 65_536
_MAX_LINE_BYTES = 65_536  # a longer line comes in pieces


class OutputReader:
    """Reads a pipe line by line on an event loop; owns its file descriptor."""

    def __init__(self, fd: int, on_lines: Callable[[list[str]], None]) -> None:
        self._fd = fd
        self._on_lines = on_lines
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self.is_closed = False
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self.read)

    def read(self) -> bool:
        """Read once; true when there may be more."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        lines = [piece for line in lines for piece in _pieces(line)]
        *pieces, self._rest = _pieces(self._rest)
        lines += pieces
        self._tell(lines)
        return True

    def drain(self) -> None:
        """Take what has been written already; at most 1 MB, as other holders of the pipe may go on."""
        for _ in range(16):
            if self.is_closed or not self.read():
                return

    def finish(self) -> None:
        """Take what has been written already, and what has no end of line yet as a line."""
        self.drain()
        rest, self._rest = self._rest, b""
        if rest:
            self._tell([rest])

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self.finish()

    def _tell(self, lines: list[bytes]) -> None:
        if lines:
            self._on_lines([line.rstrip(b"\r").decode("utf-8", "replace") for line in lines])


def _pieces(line: bytes) -> list[bytes]:
    """Cut a line into pieces that are not too long, not within a UTF-8 character."""
    pieces = []
    while len(line) > _MAX_LINE_BYTES:
        ends = range(_MAX_LINE_BYTES, _MAX_LINE_BYTES - 4, -1)
        end = next((end for end in ends if line[end] & 0xC0 != 0x80), _MAX_LINE_BYTES)
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]
