"""Members as a tar: POSIX headers with zero times and no names of owners, extended ones only where needed.

The bytes are those that Python's `tarfile` writes in PAX format, made in half the time.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from triggerdev import errors
from triggerdev.build.oci.members import Member

BLOCK = 512
CHUNK = 1 << 20
_RECORD = 20 * BLOCK
_TYPES = {"file": b"0", "folder": b"5", "link": b"2"}
_LARGEST = 8**11 - 1
_NAME = 100


def stream(
    members: Iterable[Member], contents: Callable[[Member], Iterable[bytes]] | None = None
) -> Iterator[bytes]:
    """Yield the bytes of a tar; `members` are complete and sorted. Files are read in chunks of 1 MiB.

    `contents` gives the bytes of files that have neither content nor source. Raises BuildError for a file
    that is not what was described, or that cannot be read.
    """
    total = 0
    for member in members:
        for part in _one(member, contents):
            total += len(part)
            yield part
    end = total + 2 * BLOCK
    yield bytes(2 * BLOCK + -end % _RECORD)


def _one(member: Member, contents: Callable[[Member], Iterable[bytes]] | None) -> Iterator[bytes]:
    yield _headers(member)
    if member.kind != "file":
        return
    if member.content is not None:
        yield member.content
    elif member.source is not None:
        yield from _read(member, member.source)
    elif contents is not None:
        yield from contents(member)
    yield bytes(-member.size % BLOCK)


def _read(member: Member, source: Path) -> Iterator[bytes]:
    hasher, left = hashlib.sha256(), member.size
    try:
        with source.open("rb", buffering=0) as file:
            while chunk := file.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise _changed(source)
                hasher.update(chunk)
                yield chunk
    except OSError as error:
        raise errors.BuildError(f"cannot read {source}: {error.strerror}") from None
    if left or member.sha256 not in (None, hasher.hexdigest()):
        raise _changed(source)


def _changed(source: Path) -> errors.BuildError:
    return errors.BuildError(f"{source} changed while it was being read; start again")


def _headers(member: Member) -> bytes:
    name = member.path.encode() + (b"/" if member.kind == "folder" else b"")
    target = member.target.encode()
    size = member.size if member.kind == "file" else 0
    extended = _extended(name, target, size)
    own = _header(member, _plain(name), _plain(target), size if size <= _LARGEST else 0)
    return extended + own


def _plain(text: bytes) -> bytes:
    """Give a name as the plain header holds it, which has no more than ASCII and 100 bytes."""
    return text.decode().encode("ascii", "replace")[:_NAME]


def _extended(name: bytes, target: bytes, size: int) -> bytes:
    records = b""
    if len(name) > _NAME or not name.isascii():
        records += _record(b"path", name)
    if len(target) > _NAME or not target.isascii():
        records += _record(b"linkpath", target)
    if size > _LARGEST:
        records += _record(b"size", b"%d" % size)
    if not records:
        return b""
    header = _fields(b"././@PaxHeader", 0, 0, 0, len(records), b"x", b"")
    return header + records + bytes(-len(records) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """Write an extended record, whose length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest
    while rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _header(member: Member, name: bytes, target: bytes, size: int) -> bytes:
    return _fields(name, member.mode, member.uid, member.gid, size, _TYPES[member.kind], target)


def _fields(name: bytes, mode: int, uid: int, gid: int, size: int, kind: bytes, target: bytes) -> bytes:
    """Write one header block; names of owners, times and devices are empty."""
    start = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode & 0o7777, uid, gid, size, 0)
    rest = b"%b%bustar\x0000" % (kind, target.ljust(100, b"\0"))
    checksum = sum(start) + sum(rest) + 8 * 32
    return (start + b"%06o\0 " % checksum + rest).ljust(BLOCK, b"\0")
