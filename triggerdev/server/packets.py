"""Large payloads: clients upload what has 128 KB or more to a signed URL and trigger with the name of it."""

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from triggerdev import errors

MAX_PACKET_BYTES = 10_485_760
KEPT_S = 86_400
_SWEEP_EVERY_S = 3600


@dataclass(frozen=True, slots=True)
class Packet:
    content_type: str
    body: bytes


class PacketStore:
    """Packets as files, named by a hash; they are copied into runs, so a day later they can go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next_sweep = 0.0

    async def put(self, name: str, packet: Packet) -> None:
        """Write a packet, replacing one of its name. Raises StorageFullError, EnvironmentProblemError."""
        await asyncio.to_thread(self._put, name, packet)

    async def get(self, name: str) -> Packet | None:
        return await asyncio.to_thread(self._get, name)

    def _path(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()

    def _put(self, name: str, packet: Packet) -> None:
        path = self._path(name)
        draft = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep()
            with draft.open("wb") as file:
                file.write(packet.content_type.encode("ascii", "replace") + b"\n" + packet.body)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise _problem(error, self._folder) from error

    def _get(self, name: str) -> Packet | None:
        try:
            content_type, _, body = self._path(name).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _problem(error, self._folder) from error
        return Packet(content_type.decode("ascii"), body)

    def _sweep(self) -> None:
        """Delete what is older than a day, at most once an hour."""
        now = time.time()
        if now < self._next_sweep:
            return
        self._next_sweep = now + _SWEEP_EVERY_S
        for path in self._folder.iterdir():
            try:
                if path.stat().st_mtime < now - KEPT_S:
                    path.unlink()
            except OSError:
                continue  # another process was faster, or it cannot go: the next sweep tries again


def _problem(error: OSError, folder: Path) -> errors.EnvironmentProblemError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.StorageFullError(
            f"The disk that holds {folder} is full; the payload was not stored. Free some space."
        )
    return errors.EnvironmentProblemError(f"Cannot store payloads in {folder}: {error.strerror}.")
