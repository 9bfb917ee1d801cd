"""Looking for files in the layers of an image."""

import io
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, cast

from triggerdev import errors
from triggerdev.build.oci.blobs import Blobs, needed
from triggerdev.build.oci.compression import opened
from triggerdev.build.oci.model import LAYER, LAYER_GZIP, Image, Layer


def find(image: Image, blobs: Blobs, wanted: Callable[[str], bool]) -> set[str]:
    """Give the paths, such as "usr/bin/python3", of the wanted files and links that an image has.

    Reads every layer once. Raises BuildError for layers that are damaged or compressed in another way than
    with gzip.
    """
    found: set[str] = set()
    for layer in image.layers:
        removed, added = _changes(layer, blobs, wanted)
        kept = {path for path in found if not any(_is_below(path, place) for place in removed)}
        found = kept | added
    return found


def _changes(layer: Layer, blobs: Blobs, wanted: Callable[[str], bool]) -> tuple[set[str], set[str]]:
    """Give what a layer removes, and what it adds of what is wanted."""
    removed: set[str] = set()
    added: set[str] = set()
    for path, file in files(layer, blobs, wanted):
        (removed if file is None else added).add(path)
    return removed, added


def files(
    layer: Layer, blobs: Blobs, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield the wanted files and links of a layer, to be read at once, and with None what it removes.

    A link is an empty file. Raises BuildError for layers that cannot be read.
    """
    try:
        with tarfile.open(fileobj=_plain(layer, blobs), mode="r|") as archive:
            for member in archive:
                path = posixpath.normpath(member.name).lstrip("/")
                folder, name = posixpath.split(path)
                if name == ".wh..wh..opq":
                    yield folder, None
                elif name.startswith(".wh."):
                    yield posixpath.join(folder, name.removeprefix(".wh.")), None
                elif not member.isdir() and wanted(path):
                    file = archive.extractfile(member) if member.isreg() else None
                    yield path, file or io.BytesIO()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise errors.BuildError(f"the layer {layer.blob.digest} cannot be read: {error}") from None


def _is_below(path: str, place: str) -> bool:
    return path == place or not place or path.startswith(f"{place}/")


def _plain(layer: Layer, blobs: Blobs) -> io.BufferedIOBase:
    raw = cast(io.RawIOBase, _Reader(needed(blobs, layer.blob)))
    if layer.blob.media_type == LAYER_GZIP:
        return opened(io.BufferedReader(raw))
    if layer.blob.media_type == LAYER:
        return io.BufferedReader(raw)
    raise errors.BuildError(
        f"a layer of the base image has the type {layer.blob.media_type}; only gzip is supported, "
        "so take a base that has no zstd"
    )


class _Reader(io.RawIOBase):
    """Chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: any buffer
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
