"""Writing a layer in one pass: tar, diff id, gzip, digest, and the blob in the store."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from triggerdev.build.oci import tar
from triggerdev.build.oci.compression import Gzip
from triggerdev.build.oci.members import Member, complete
from triggerdev.build.oci.model import LAYER_GZIP, Descriptor, Layer
from triggerdev.build.oci.store import BlobStore

FORMAT = 1
"""Grows when the same members would become other bytes, so that layers are not taken for what they were."""


def build(store: BlobStore, key: str, members: Iterable[Member]) -> Layer:
    """Give the layer of a content key: the one that is known, else one written from the members.

    Members are only looked at if they are needed. Raises BuildError for what a layer cannot hold.
    """
    return store.layer(versioned(key)) or write(store, versioned(key), members)


def versioned(key: str) -> str:
    """Give a content key together with the format of layers."""
    return f"{key}.{FORMAT}"


def write(store: BlobStore, key: str, members: Iterable[Member]) -> Layer:
    """Write a layer, and remember it under its key unless that is empty."""
    return from_tar(store, tar.stream(complete(members)), key)


def from_tar(store: BlobStore, chunks: Iterable[bytes], key: str = "") -> Layer:
    """Write a layer from the bytes of its tar."""
    pass_ = _Pass(chunks)
    with store.partial() as file:
        for data in pass_:
            file.write(data)
        blob = Descriptor(LAYER_GZIP, f"sha256:{pass_.compressed.hexdigest()}", file.tell())
        store.commit(file, blob.digest)
    made = Layer(f"sha256:{pass_.plain.hexdigest()}", blob, key)
    if key:
        store.remember(made)
    return made


class _Pass:
    """Compresses chunks and hashes both sides; small ones are joined first.

    A chunk is compressed by another thread while the next one is read.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._gzip = Gzip()
        self.plain, self.compressed = hashlib.sha256(), hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        with ThreadPoolExecutor(1) as beside:
            before: Future[bytes] | None = None
            for chunk in _joined(self._chunks):
                self.plain.update(chunk)
                if before is not None:
                    yield before.result()
                before = beside.submit(self._compress, chunk)
            if before is not None:
                yield before.result()
        yield self._compress(None)

    def _compress(self, chunk: bytes | None) -> bytes:
        """Compress a chunk, or write what is left."""
        data = self._gzip.finish() if chunk is None else self._gzip.feed(chunk)
        self.compressed.update(data)
        return data


def _joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        pending.append(chunk)
        size += len(chunk)
        if size >= tar.CHUNK:
            yield b"".join(pending)
            pending, size = [], 0
    yield b"".join(pending)
