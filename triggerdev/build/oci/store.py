"""Blobs by digest and layers by content key, in the user's cache folder, shared by all processes.

    blobs/sha256/<hex>    what a digest is of; written beside and renamed, so it is whole or absent
    layers/<key>.json     which blob a content key became, and its diff id
    facts/<key>.json      what takes long to find out
    partial/              what is being written

Nothing here is needed for good: whatever is deleted is made again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from triggerdev import errors
from triggerdev.build.oci.model import Descriptor, Layer, checked_digest

LIMIT = 5 * 10**9
"""Bytes that blobs may take, unless the user sets another limit."""
_KEPT = 3600.0
"""Seconds for which a blob is not deleted after its last use, since a build may be about to need it."""
_CHUNK = 1 << 20


def default_folder() -> Path:
    """Give the user's folder: TRIGGER_CACHE_DIR, else XDG_CACHE_HOME/trigger, else ~/.cache/trigger."""
    own = os.environ.get("TRIGGER_CACHE_DIR")
    if own:
        return Path(own) / "oci"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "trigger" / "oci"


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield a file in chunks of 1 MiB."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


class BlobStore:
    """A content-addressed store below a folder, which is made when it is first written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._layers = folder / "layers"

    def path(self, blob: Descriptor) -> Path | None:
        """Give the file of a blob, None if it is not here as a whole; finding it counts as a use."""
        path = self._blobs / checked_digest(blob.digest).removeprefix("sha256:")
        try:
            if path.stat().st_size != blob.size:
                return None
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            pass  # another user's store is as good for reading
        return path

    def open(self, blob: Descriptor) -> Iterator[bytes] | None:
        """Give the bytes of a blob in chunks, None if they are not here."""
        path = self.path(blob)
        return chunks_of(path) if path else None

    def read(self, blob: Descriptor) -> bytes | None:
        """Give a small blob's bytes, None if they are not here or are damaged."""
        path = self.path(blob)
        data = path.read_bytes() if path else None
        if data is None or f"sha256:{hashlib.sha256(data).hexdigest()}" != blob.digest:
            return None
        return data

    def put(self, media_type: str, data: bytes) -> Descriptor:
        """Keep bytes."""
        blob = Descriptor.of(media_type, data)
        self.write(blob, [data])
        return blob

    def write(self, blob: Descriptor, chunks: Iterable[bytes]) -> Path:
        """Keep a blob whose digest is known. Raises BuildError if the bytes are others."""
        known = self.path(blob)
        if known:
            return known
        hasher, size = hashlib.sha256(), 0
        with self.partial() as file:
            for chunk in chunks:
                hasher.update(chunk)
                size += len(chunk)
                file.write(chunk)
            found = f"sha256:{hasher.hexdigest()}"
            if (found, size) != (blob.digest, blob.size):
                raise errors.BuildError(
                    f"the blob {blob.digest} arrived as {found} with {size} of {blob.size} bytes; try again"
                )
            return self.commit(file, found)

    @contextmanager
    def partial(self) -> Iterator[IO[bytes]]:
        """Open a file to be committed; it is deleted if it is not.

        Raises EnvironmentProblemError for what the disk refuses.
        """
        folder = self.folder / "partial"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                try:
                    yield file
                finally:
                    Path(file.name).unlink(missing_ok=True)
        except OSError as error:
            advice = "; TRIGGER_CACHE_DIR names another place"
            what = f"cannot write to {self.folder}"
            raise errors.EnvironmentProblemError.of_disk(what, error, advice) from None

    def commit(self, file: IO[bytes], digest: str) -> Path:
        """Give a partial file its name; whoever was faster with the same bytes has done the same."""
        file.flush()
        self._blobs.mkdir(parents=True, exist_ok=True)
        path = self._blobs / checked_digest(digest).removeprefix("sha256:")
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
        return path

    def layer(self, key: str) -> Layer | None:
        """Give the layer that a content key became, None if it or its blob is not here."""
        try:
            value = json.loads(self._record(key).read_bytes())
            found = Layer(checked_digest(value["diff_id"]), Descriptor.read(value["blob"]), key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, errors.BuildError):
            return None  # damaged: it is made again
        return found if self.path(found.blob) else None

    def remember(self, layer: Layer) -> None:
        """Keep what a content key became."""
        self._put(self._record(layer.key), {"diff_id": layer.diff_id, "blob": layer.blob.as_json()})

    def _record(self, key: str) -> Path:
        return self._layers / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def fact(self, key: str) -> dict[str, Any] | None:
        """Give what was noted under a key, None if nothing was or if it cannot be read."""
        try:
            value = json.loads(self._fact(key).read_bytes())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def note(self, key: str, value: dict[str, Any]) -> None:
        """Keep small data that takes long to find out, such as where an image has its Python."""
        self._put(self._fact(key), value)

    def _fact(self, key: str) -> Path:
        return self.folder / "facts" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _put(self, path: Path, value: dict[str, Any]) -> None:
        with self.partial() as file:
            file.write(json.dumps(value, sort_keys=True).encode())
            file.flush()
            path.parent.mkdir(parents=True, exist_ok=True)
            Path(file.name).replace(path)

    def prune(self, limit: int = LIMIT) -> int:
        """Delete what was not used for longest until `limit` bytes are left; gives the bytes freed.

        Those used within the last hour stay. Does nothing while another process does it.
        """
        with self._lock() as held:
            return self._prune(limit) if held else 0

    def _prune(self, limit: int) -> int:
        states = [(path, path.stat()) for path in self._blobs.glob("*")] if self._blobs.is_dir() else []
        total, freed = sum(state.st_size for _, state in states), 0
        newest = time.time() - _KEPT
        for path, state in sorted(states, key=lambda each: each[1].st_mtime):
            if total - freed <= limit or state.st_mtime > newest:
                break
            path.unlink(missing_ok=True)
            freed += state.st_size
        for path in (self.folder / "partial").glob("*"):
            if path.stat().st_mtime < newest:  # its writer was killed
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return freed

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
