"""gzip that depends on the data only: a header of our own, and chunks of one size.

isal's output depends on how its input is cut, and differs from zlib's, so compressed digests are only
compared on one machine; between machines diff ids are.
"""

import gzip
import io
import struct
import zlib
from typing import Any

CHUNK = 1 << 20
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, unknown system


def opened(raw: io.BufferedIOBase) -> io.BufferedIOBase:
    """Read what is compressed with gzip: by isal where it is installed, else by zlib."""
    try:
        from isal import igzip
    except ImportError:
        return gzip.GzipFile(fileobj=raw)
    untyped: Any = igzip.GzipFile
    file: io.BufferedIOBase = untyped(fileobj=raw)
    return file


def _compressor() -> Any:
    """Make a raw deflate compressor: isal, which is ten times faster, where it is installed."""
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this platform
        return zlib.compressobj(6, wbits=-15)
    return isal_zlib.compressobj(level=1, wbits=-15)


def _crc32() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.crc32
    return isal_zlib.crc32


class Gzip:
    """Compresses a stream; `feed` and `finish` give the next compressed bytes."""

    def __init__(self) -> None:
        self._raw = _compressor()
        self._crc32 = _crc32()
        self._crc, self._size = 0, 0
        self._pending = bytearray()
        self._head = _HEADER

    def feed(self, data: bytes) -> bytes:
        """Take bytes of any number."""
        self._pending += data
        out = self._head
        self._head = b""
        while len(self._pending) >= CHUNK:
            out += self._compress(bytes(self._pending[:CHUNK]))
            del self._pending[:CHUNK]
        return out

    def finish(self) -> bytes:
        """Write what is left, and the checksum."""
        out: bytes = self._head + self._compress(bytes(self._pending)) + self._raw.flush()
        return out + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)

    def _compress(self, data: bytes) -> bytes:
        self._crc = self._crc32(data, self._crc)
        self._size += len(data)
        compressed: bytes = self._raw.compress(data)
        return compressed
