"""Where an image goes: an engine, a layout, a tar, a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev.build.backends.protocol import Backend
from triggerdev.build.oci import archive, layout
from triggerdev.build.oci.blobs import Blobs, Several
from triggerdev.build.oci.model import Image, canonical
from triggerdev.build.oci.registry import memory
from triggerdev.build.oci.registry.attached import EMPTY, attach
from triggerdev.build.oci.registry.push import Pushed, push_remembered
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.transport import Access
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.provenance import MEDIA_TYPE


def places(store: BlobStore, remote: Blobs | None) -> Blobs:
    """Give where blobs are looked for: the store, then the registry of the base."""
    return Several([store, remote]) if remote is not None else store


def load(backend: Backend, image: Image, blobs: Blobs, names: Sequence[str], known: Sequence[str]) -> None:
    """Load an image into an engine under all of its names.

    Layers of images that the engine has are not sent again; `known` names some that it may have.
    """
    if backend.image_id(names[0]) != image.config_descriptor.digest:
        without = _shared(backend, image, known) if backend.loads_thin() else []
        try:
            backend.load(archive.stream(image, blobs, names[0], without))
        except errors.BuildError:
            if not without:
                raise
            backend.load(archive.stream(image, blobs, names[0]))  # it lacks what it says that it has
    for name in names[1:]:
        backend.tag(names[0], name)


def _shared(backend: Backend, image: Image, known: Sequence[str]) -> list[str]:
    """Give the digests of the lowest layers that one of the known images has, too."""
    most = 0
    for reference in known:
        have = backend.diff_ids(reference) or []
        count = 0
        for layer, diff_id in zip(image.layers, have, strict=False):
            if layer.diff_id != diff_id:
                break
            count += 1
        most = max(most, count)
    return [layer.blob.digest for layer in image.layers[:most]]


def write_layout(folder: Path, image: Image, blobs: Blobs, name: str) -> None:
    """Write an OCI layout."""
    with _Disk(folder):
        layout.write(folder, image, blobs, name)


def write_tar(path: Path, image: Image, blobs: Blobs, name: str) -> None:
    """Write a tar for `docker load` and `podman load`."""
    with _Disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        archive.write(path, image, blobs, name)


@dataclass(frozen=True)
class Pusher:
    """Pushes images. `blobs` is where their layers are; the lowest ones are those of the image `base`."""

    store: BlobStore
    blobs: Blobs
    access: Access
    base: str
    lowest: int

    def push(self, image: Image, names: Sequence[str], came: Mapping[str, Any]) -> list[Pushed]:
        """Push an image under each of its names, and to each repository where it comes from.

        Raises RegistryError for what a registry refuses.
        """
        done = []
        told: set[tuple[str, str]] = set()
        for name in names:
            reference = Reference.parse(name)
            place = (reference.registry, reference.repository)
            done.append(self._one(image, reference, came if place not in told else None))
            told.add(place)
        return done

    def _one(self, image: Image, reference: Reference, came: Mapping[str, Any] | None) -> Pushed:
        """Push under one name; what tells where the image comes from goes beside it."""
        known = memory.present(self.store, reference)
        with Repository(reference, self.access) as repository, ThreadPoolExecutor(1) as beside:
            told = None
            if came is not None:
                document = canonical(came)
                told = beside.submit(attach, repository, image.descriptor, MEDIA_TYPE, document, known)
            pushed = push_remembered(
                self.store, repository, image, self.blobs, self._mounts(image, reference)
            )
            if told is not None:
                told.result()
                memory.remember(self.store, reference, image, [EMPTY])
            return pushed

    def _mounts(self, image: Image, target: Reference) -> dict[str, str]:
        """Let a registry take the base's layers from where it has them itself."""
        source = Reference.parse(self.base)
        if source.registry != target.registry:
            return {}
        return {layer.blob.digest: source.repository for layer in image.layers[: self.lowest]}


class _Disk:
    """Turns what the disk refuses into an error that names the place."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise errors.EnvironmentProblemError.of_disk(f"cannot write {self._place}", error) from None
