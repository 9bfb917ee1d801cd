"""What a registry has by content key, so that what one machine has built is downloaded by the next.

Only deploys that push look there and leave something there, in the repository that they push to. It saves
time and nothing else: what a registry refuses here keeps no deploy from being made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from triggerdev import errors
from triggerdev.build.oci import blobs
from triggerdev.build.oci.model import Image, Layer, Platform
from triggerdev.build.oci.registry import keyed
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.transport import Access
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.progress import Event, Progress

T = TypeVar("T")


class Shared:
    """The layers and lower parts that a repository has; what is found is kept in the store."""

    def __init__(
        self, reference: Reference, access: Access, store: BlobStore, platform: str, progress: Progress
    ) -> None:
        self._repository = Repository(reference, access)
        self._store, self._platform, self._progress = store, Platform.parse(platform), progress
        self._layers: dict[str, Layer | None] = {}
        self._refused = False
        self._place = f"shared:{reference.registry}/{reference.repository}"

    def close(self) -> None:
        """Close the connections to the registry."""
        self._repository.close()

    def layer(self, key: str) -> Layer | None:
        """Give the layer of a content key; the registry is asked once for each."""
        if key not in self._layers:
            self._layers[key] = self._layer(key)
        return self._layers[key]

    def _layer(self, key: str) -> Layer | None:
        found = self._tried(lambda: keyed.find(self._repository, key))
        here = None if found is None else self._tried(lambda: self._fetched(found, found))
        if here is not None:
            self._store.remember(here)
        return here

    def lower(self, key: str) -> Image | None:
        """Give the lower part of a content key."""
        found = self._tried(lambda: keyed.find_image(self._repository, key, self._platform, self._store))
        return None if found is None else self._tried(lambda: self._fetched(found, *found.layers))

    def add_layer(self, layer: Layer) -> None:
        """Leave a layer, which is part of an image that was pushed there."""
        self._once(keyed.tag_of(layer.key), layer.diff_id, lambda: keyed.publish(self._repository, layer))

    def add_lower(self, key: str, image: Image) -> None:
        """Leave the lower part of an image that was pushed there."""
        self._once(
            keyed.image_tag_of(key),
            image.descriptor.digest,
            lambda: keyed.publish_image(self._repository, key, image),
        )

    def _fetched(self, found: T, *layers: Layer) -> T:
        """Give what was found, once all of its layers are here."""
        for layer in layers:
            blobs.fetch(self._store, self._repository, layer.blob)
        return found

    def _once(self, tag: str, digest: str, publish: Callable[[], None]) -> None:
        """Leave something under a tag, unless this machine has left the same there before."""
        noted, content = f"{self._place}:{tag}", {"digest": digest}
        if self._store.fact(noted) != content:
            self._tried(publish)
            if not self._refused:
                self._store.note(noted, content)

    def _tried(self, call: Callable[[], T]) -> T | None:
        """Do what may be refused; after the first time nothing more is asked."""
        if self._refused:
            return None
        try:
            return call()
        except errors.BuildError as error:
            self._refused = True
            self._progress.tell(Event("line", "registry", text=f"no layers are shared: {error}"))
            return None
