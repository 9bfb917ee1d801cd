"""Documents about an image, such as where it comes from: artifacts whose subject it is.

Registries without the referrers API get the list of them under the tag `sha256-<digest>`, as the
specification says.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from triggerdev import errors
from triggerdev.build.oci.blobs import Memory
from triggerdev.build.oci.model import INDEX, MANIFEST, Descriptor, canonical
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.upload import upload

EMPTY = Descriptor.of("application/vnd.oci.empty.v1+json", b"{}")
"""The config of documents, which have none."""


def attach(
    repository: Repository,
    subject: Descriptor,
    media_type: str,
    data: bytes,
    present: Collection[str] = (),
) -> Descriptor:
    """Push a document about an image; the image may come later. Raises RegistryError if it is refused.

    `present` holds digests that the repository is known to have.
    """
    document = Descriptor.of(media_type, data)
    for blob, content in ((EMPTY, b"{}"), (document, data)):
        if blob.digest not in present:  # they are small: sending them costs no more than asking
            upload(repository, blob, Memory(content))
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": EMPTY.as_json(),
            "layers": [document.as_json()],
            "subject": subject.as_json(),
        }
    )
    descriptor = Descriptor.of(MANIFEST, manifest)
    what = f"the document {descriptor.digest}"
    try:
        headers = repository.put_manifest(descriptor.digest, MANIFEST, manifest, what)
    except errors.RegistryError:
        if EMPTY.digest not in present:
            raise
        upload(repository, EMPTY, Memory(b"{}"))  # it may have lost it since
        headers = repository.put_manifest(descriptor.digest, MANIFEST, manifest, what)
    if "oci-subject" not in headers:
        _list(repository, subject, descriptor, media_type)
    return descriptor


def attached(repository: Repository, subject: Descriptor, media_type: str) -> list[bytes]:
    """Give the documents of a type about an image, as the list under its tag has them."""
    found = []
    for each in _listed(repository, subject):
        if each.get("artifactType") == media_type:
            manifest = json.loads(repository.manifest(str(each["digest"])) or b"{}")
            blob = Descriptor.read(manifest["layers"][0])
            found.append(b"".join(repository.open(blob) or ()))
    return found


def _list(repository: Repository, subject: Descriptor, descriptor: Descriptor, media_type: str) -> None:
    entry = {**descriptor.as_json(), "artifactType": media_type}
    others = [each for each in _listed(repository, subject) if each.get("digest") != descriptor.digest]
    index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, entry]})
    repository.put_manifest(_tag(subject), INDEX, index, f"the list of documents {_tag(subject)}")


def _listed(repository: Repository, subject: Descriptor) -> list[dict[str, Any]]:
    data = repository.manifest(_tag(subject))
    value = json.loads(data) if data else {}
    return list(value.get("manifests") or []) if isinstance(value, dict) else []


def _tag(subject: Descriptor) -> str:
    return subject.digest.replace(":", "-")
