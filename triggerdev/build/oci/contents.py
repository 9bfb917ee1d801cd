"""Looking for files in the layers of an image."""

import gzip
import io
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from typing import cast

from triggerdev import errors
from triggerdev.build.oci.blobs import Blobs, needed
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
    removed, added = set(), set()
    try:
        with tarfile.open(fileobj=_plain(layer, blobs), mode="r|") as archive:
            for member in archive:
                path = posixpath.normpath(member.name).lstrip("/")
                folder, name = posixpath.split(path)
                if name == ".wh..wh..opq":
                    removed.add(folder)
                elif name.startswith(".wh."):
                    removed.add(posixpath.join(folder, name.removeprefix(".wh.")))
                elif not member.isdir() and wanted(path):
                    added.add(path)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise errors.BuildError(f"the layer {layer.blob.digest} cannot be read: {error}") from None
    return removed, added


def _is_below(path: str, place: str) -> bool:
    return path == place or not place or path.startswith(f"{place}/")


def _plain(layer: Layer, blobs: Blobs) -> io.BufferedIOBase:
    raw = cast(io.RawIOBase, _Reader(needed(blobs, layer.blob)))
    if layer.blob.media_type == LAYER_GZIP:
        return gzip.GzipFile(fileobj=io.BufferedReader(raw))
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

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
