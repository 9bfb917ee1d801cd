"""Layers and lower parts of images that a registry has by content key, so that others need not build them.

A layer is tagged `layer-<key>`: the manifest of an artifact with the layer as its one blob, and its diff id
as an annotation. A lower part is an image, tagged `lower-<key>`. Whoever may push to the repository is
trusted with both, as they are with its images.
"""

import hashlib
import json

from triggerdev import errors
from triggerdev.build.oci.blobs import Memory
from triggerdev.build.oci.model import MANIFEST, Descriptor, Image, Layer, Platform, canonical, checked_digest
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.upload import upload
from triggerdev.build.oci.store import BlobStore

ARTIFACT = "application/vnd.triggerdev.layer.v1"
_DIFF_ID = "dev.triggerdev.diff-id"
_EMPTY = Descriptor.of("application/vnd.oci.empty.v1+json", b"{}")


def tag_of(key: str) -> str:
    """Give the tag of a content key."""
    return f"layer-{hashlib.sha256(key.encode()).hexdigest()}"


def image_tag_of(key: str) -> str:
    """Give the tag of a lower part's content key."""
    return f"lower-{hashlib.sha256(key.encode()).hexdigest()}"


def find(repository: Repository, key: str) -> Layer | None:
    """Find the layer of a content key; None if the repository has none, or none that can be used."""
    data = repository.manifest(tag_of(key))
    if data is None:
        return None
    try:
        value = json.loads(data)
        diff_id = checked_digest(value["annotations"][_DIFF_ID])
        (blob,) = map(Descriptor.read, value["layers"])
        return Layer(diff_id, blob, key)
    except (ValueError, KeyError, TypeError, errors.BuildError):
        return None


def publish(repository: Repository, layer: Layer) -> None:
    """Tag a layer whose blob the repository has. Raises RegistryError if the registry refuses."""
    if not repository.has_blob(_EMPTY):
        upload(repository, _EMPTY, Memory(b"{}"))
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ARTIFACT,
            "config": _EMPTY.as_json(),
            "layers": [layer.blob.as_json()],
            "annotations": {_DIFF_ID: layer.diff_id},
        }
    )
    repository.put_manifest(tag_of(layer.key), MANIFEST, manifest, f"the layer {layer.key[:12]}")


def find_image(repository: Repository, key: str, platform: Platform, store: BlobStore) -> Image | None:
    """Find the lower part of a content key; None if the repository has none."""
    return repository.image(image_tag_of(key), platform, store)


def publish_image(repository: Repository, key: str, image: Image) -> None:
    """Tag a lower part whose layers the repository has. Raises RegistryError if the registry refuses."""
    if not repository.has_blob(image.config_descriptor):
        upload(repository, image.config_descriptor, Memory(image.config))
    tag = image_tag_of(key)
    repository.put_manifest(tag, image.media_type, image.manifest, f"the lower part {key[:12]}")
