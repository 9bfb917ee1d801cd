"""Pushing an image: what the repository lacks, in parallel, then the manifest that names it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from triggerdev.build.oci.blobs import Blobs, Memory, Several
from triggerdev.build.oci.model import Descriptor, Image
from triggerdev.build.oci.registry import memory, upload
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.store import BlobStore

if TYPE_CHECKING:
    import httpx

_CONNECTIONS = 4
SMALL = 1 << 18
"""Bytes up to which sending a blob costs no more than asking for it."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Pushed:
    """What a push did: blobs sent, mounted, and there already; `unchanged` if the tag led there before."""

    digest: str
    sent: tuple[Descriptor, ...] = ()
    mounted: tuple[Descriptor, ...] = ()
    unchanged: bool = False

    @property
    def bytes_sent(self) -> int:
        """Sum the sizes of the blobs that were sent."""
        return sum(blob.size for blob in self.sent)


@dataclass(frozen=True)
class Plan:
    """What is known before a push.

    `present` holds digests that the repository had a moment ago and that are not asked for; a registry that
    lacks one says so, and gets it. `mounts` says from which repository of the same registry a digest can be
    taken.
    """

    present: Collection[str] = ()
    mounts: Mapping[str, str] = field(default_factory=dict)


def push(repository: Repository, image: Image, tag: str, blobs: Blobs, plan: Plan | None = None) -> Pushed:
    """Push an image under a tag. Raises RegistryError for what the registry refuses."""
    known = plan or Plan()
    may_be_there = not known.present or image.config_descriptor.digest in known.present
    if may_be_there and repository.has(tag, image.descriptor.digest):
        return Pushed(image.descriptor.digest, unchanged=True)
    return _Push(repository, Several([Memory(image.config), blobs]), known).run(image, tag)


def push_remembered(
    store: BlobStore,
    repository: Repository,
    image: Image,
    blobs: Blobs,
    mounts: Mapping[str, str] | None = None,
) -> Pushed:
    """Push an image under the tag of the repository's reference, with what earlier pushes have told."""
    reference = repository.reference
    plan = Plan(memory.present(store, reference), mounts or {})
    done = push(repository, image, reference.tag, blobs, plan)
    memory.remember(store, reference, image)
    return done


class _Push:
    def __init__(self, repository: Repository, blobs: Blobs, plan: Plan) -> None:
        self._repository, self._blobs, self._plan = repository, blobs, plan
        self._sent: list[Descriptor] = []
        self._mounted: list[Descriptor] = []

    def run(self, image: Image, tag: str) -> Pushed:
        wanted = {blob.digest: blob for blob in _named(image)}
        self._all([blob for blob in wanted.values() if blob.digest not in self._plan.present])
        response = self._manifest(image, tag)
        missing = [wanted[digest] for digest in _missing(response) if digest in wanted]
        if missing:
            self._all(missing)
            response = self._manifest(image, tag)
        if response.status_code not in (200, 201, 202):
            raise self._repository.refused(response, f"take the image {self._repository.name}:{tag}")
        return Pushed(image.descriptor.digest, tuple(self._sent), tuple(self._mounted))

    def _all(self, blobs: Sequence[Descriptor]) -> None:
        if len(blobs) == 1:
            self._one(blobs[0])
            return
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(self._one, blobs))

    def _one(self, blob: Descriptor) -> None:
        source = self._plan.mounts.get(blob.digest)
        if (source or blob.size > SMALL) and self._repository.has_blob(blob):
            return
        if source and source != self._repository.name and upload.mount(self._repository, blob, source):
            self._mounted.append(blob)
            return
        upload.upload(self._repository, blob, self._blobs)
        self._sent.append(blob)

    def _manifest(self, image: Image, tag: str) -> httpx.Response:
        return self._repository.try_manifest(tag, image.media_type, image.manifest)


def _named(image: Image) -> list[Descriptor]:
    return [*(layer.blob for layer in image.layers), image.config_descriptor]


def _missing(response: httpx.Response) -> list[str]:
    """Give the digests that a registry lacks; it names each of them in its answer."""
    if response.status_code not in (400, 404) or "BLOB_UNKNOWN" not in response.text:
        return []
    return list(dict.fromkeys(_DIGEST.findall(response.text)))


def push_index(repository: Repository, data: bytes, media_type: str, tag: str) -> str:
    """Push the index of images that were pushed before; gives its digest."""
    repository.put_manifest(tag, media_type, data, f"the index {repository.name}:{tag}")
    return Descriptor.of(media_type, data).digest
