"""Objects as files: written beside, made durable, then renamed, so that none is ever seen in part."""

import asyncio
import contextlib
import errno
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.engine.objects.protocol import Body, Listed

_DRAFT = ".tmp"
_DRAFT_SECONDS = 3600


class FolderObjects:
    """Files of a folder; the first line of each is its content type. Keys have no `.` and no `..`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, key: str, body: Body) -> None:
        await asyncio.to_thread(self._put, key, body)

    async def get(self, key: str) -> Body | None:
        return await asyncio.to_thread(self._get, key)

    async def delete(self, keys: Sequence[str]) -> None:
        await asyncio.to_thread(self._delete, keys)

    async def listed(self, folder: str) -> AsyncIterator[Listed]:
        for found in await asyncio.to_thread(self._list, folder):
            yield found

    def presign(self, method: str, key: str, seconds: int) -> str | None:
        return None

    def _path(self, key: str) -> Path:
        return self._root / key

    def _put(self, key: str, body: Body) -> None:
        path = self._path(key)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_DRAFT}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with draft.open("wb") as file:
                file.write(body.content_type.encode("ascii", "replace") + b"\n")
                crash_point("object.half_written")
                file.write(body.data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise self._problem(error, "the payload or output was not stored") from error

    def _get(self, key: str) -> Body | None:
        try:
            content_type, _, data = self._path(key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._problem(error, "a payload or output cannot be read") from error
        return Body(content_type.decode("ascii", "replace"), data)

    def _delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            with contextlib.suppress(OSError):  # another server was faster, or the next sweep tries again
                self._path(key).unlink()

    def _list(self, folder: str) -> list[Listed]:
        found: list[Listed] = []
        try:
            entries = list(os.scandir(self._root / folder))
        except OSError:
            return found  # nothing was stored yet, or it cannot be read: there is nothing to sweep
        for entry in entries:
            with contextlib.suppress(OSError):
                at = entry.stat().st_mtime
                if not entry.name.endswith(_DRAFT):
                    found.append(Listed(f"{folder}/{entry.name}", round(at * 1000)))
                elif at < time.time() - _DRAFT_SECONDS:  # of a process that was killed while it wrote
                    Path(entry.path).unlink()
        return found

    def _problem(self, error: OSError, what: str) -> errors.EnvironmentProblemError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return errors.StorageFullError(
                f"The disk that holds {self._root} is full: {what}. Free some space."
            )
        return errors.EnvironmentProblemError(f"{self._root}: {error.strerror}; {what}.")


def _sync_folder(path: Path) -> None:
    """Make a rename durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
