"""Lines that processes write to their file descriptors 1 and 2, past everything that Python captures."""

import asyncio
import os
from collections.abc import Callable

_READ_BYTES = 65_536
_MAX_LINE_BYTES = 65_536


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
        if len(self._rest) > _MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        self._tell(lines)
        return True

    def drain(self) -> None:
        """Take what has been written already; at most 1 MB, as other holders of the pipe may go on."""
        for _ in range(16):
            if self.is_closed or not self.read():
                return

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if self._rest:
            self._tell([self._rest])
            self._rest = b""

    def _tell(self, lines: list[bytes]) -> None:
        if lines:
            self._on_lines([line.rstrip(b"\r").decode("utf-8", "replace") for line in lines])
