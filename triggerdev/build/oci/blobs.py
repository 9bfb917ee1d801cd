"""Where blobs come from: a store, a layout, a registry, or several of them in turn."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from triggerdev import errors
from triggerdev.build.oci.model import Descriptor, digest_of
from triggerdev.build.oci.store import BlobStore


class Blobs(Protocol):
    """A place that may have a blob."""

    def open(self, blob: Descriptor) -> Iterator[bytes] | None:
        """Give the bytes of a blob in chunks, None if they are not here."""


class Several:
    """The first place that has a blob gives it."""

    def __init__(self, places: Sequence[Blobs]) -> None:
        self._places = tuple(places)

    def open(self, blob: Descriptor) -> Iterator[bytes] | None:
        """Give the bytes of a blob in chunks, None if no place has them."""
        for place in self._places:
            found = place.open(blob)
            if found is not None:
                return found
        return None


class Memory:
    """Small blobs that are at hand."""

    def __init__(self, *blobs: bytes) -> None:
        self._known = {digest_of(data): data for data in blobs}

    def open(self, blob: Descriptor) -> Iterator[bytes] | None:
        """Give the bytes of a blob, None if it is none of them."""
        data = self._known.get(blob.digest)
        return None if data is None else iter([data])


def needed(places: Blobs, blob: Descriptor) -> Iterator[bytes]:
    """Give the bytes of a blob. Raises BuildError if they are nowhere."""
    found = places.open(blob)
    if found is None:
        raise errors.BuildError(
            f"the blob {blob.digest} is in none of the places where the image's parts are; "
            "build it again with --no-cache"
        )
    return found


def fetch(store: BlobStore, places: Blobs, blob: Descriptor) -> Path:
    """Give the file of a blob in the store, which gets it if it does not have it."""
    return store.path(blob) or store.write(blob, needed(places, blob))
