"""What a repository was seen to have, so that it need not be asked again for each layer of each deploy.

It is no more than a guess: a registry that lacks something says so when it gets the manifest. Since some do
not look, what is older than a day is forgotten.
"""

import time
from collections.abc import Sequence

from triggerdev.build.oci.model import Descriptor, Image
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.store import BlobStore

_DAY = 86_400.0
_MOST = 500


def present(store: BlobStore, reference: Reference) -> frozenset[str]:
    """Give the digests that a repository had within the last day."""
    oldest = time.time() - _DAY
    return frozenset(digest for digest, seen in _known(store, reference).items() if seen > oldest)


def remember(store: BlobStore, reference: Reference, image: Image, others: Sequence[Descriptor] = ()) -> None:
    """Note that a repository has all of an image, and other blobs."""
    now = time.time()
    blobs = [*(layer.blob for layer in image.layers), image.config_descriptor, *others]
    known = _known(store, reference) | {blob.digest: now for blob in blobs}
    latest = sorted(known, key=known.__getitem__)[-_MOST:]
    store.note(_key(reference), {digest: known[digest] for digest in latest})


def _key(reference: Reference) -> str:
    return f"pushed:{reference.registry}/{reference.repository}"


def _known(store: BlobStore, reference: Reference) -> dict[str, float]:
    found = store.fact(_key(reference)) or {}
    return {digest: seen for digest, seen in found.items() if isinstance(seen, int | float)}
