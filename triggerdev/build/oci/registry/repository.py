"""One repository of a registry: its manifests and blobs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from triggerdev import errors
from triggerdev.build.oci import image as images
from triggerdev.build.oci.model import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    Image,
    Platform,
    digest_of,
)
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.transport import TRIES, Access, Call, Transport, refused
from triggerdev.build.oci.store import BlobStore

if TYPE_CHECKING:
    import httpx

_TYPES = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
_LARGEST = 4 << 20
_CHUNK = 1 << 20


class Repository:
    """A repository; serves as a place of blobs. Threads may share it, and it is to be closed.

    Its registry is spoken to, and the client for that loaded, when something is asked for.
    """

    def __init__(self, reference: Reference, access: Access | None = None) -> None:
        self.reference = reference
        self.name = reference.repository
        self._access = access or Access()
        self._opening = threading.Lock()
        self._transport: Transport | None = None
        self.pull = f"repository:{self.name}:pull"
        self.push = f"repository:{self.name}:pull,push"

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def transport(self) -> Transport:
        """Give the connections to the registry."""
        with self._opening:
            if self._transport is None:
                self._transport = Transport(self.reference, self._access)
            return self._transport

    def close(self) -> None:
        """Close all connections."""
        if self._transport is not None:
            self._transport.close()

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request below the repository; `options` are those of `Call`."""
        options.setdefault("scope", self.pull)
        return self.transport.send(Call(method, f"/v2/{self.name}/{path}", **options))

    def refused(self, response: httpx.Response, what: str) -> errors.RegistryError:
        """Make the error of an answer that is not what was hoped for."""
        return refused(response, what, self.transport.registry)

    def image(self, wanted: str, platform: Platform, store: BlobStore | None = None) -> Image | None:
        """Read the image of a tag or digest, from an index the one for a platform; None if there is none.

        Documents that `store` has are not asked for again. Raises RegistryError for answers that lie.
        """
        data = self.manifest(wanted, store)
        if data is None:
            return None
        value = _document(data)
        if "manifests" in value:
            found = _of_platform(value["manifests"], platform)
            if found is None:
                raise errors.RegistryError(f"{self.reference.tagged(wanted)} has no image for {platform}")
            return self.image(found.digest, platform, store)
        config = self._config(value, store)
        image = images.parse(data, config, str(value.get("mediaType", MANIFEST)))
        if image.platform != platform:
            raise errors.RegistryError(
                f"{self.name}:{wanted} of {self.transport.registry} is for {image.platform}, not {platform}"
            )
        return image

    def manifest(self, wanted: str, store: BlobStore | None = None) -> bytes | None:
        """Read the manifest of a tag or digest, None if there is none."""
        response = self.call(
            "GET", f"manifests/{quote(wanted, safe=':')}", headers={"Accept": _TYPES}, stream=True
        )
        with closing(response):
            if response.status_code == 404:
                return None
            if response.status_code != 200:
                raise self.refused(response, f"give the manifest {self.name}:{wanted}")
            data = _limited(response)
        if wanted.startswith("sha256:") and digest_of(data) != wanted:
            raise errors.RegistryError(f"{self.transport.registry} gave another manifest than {wanted}")
        if store is not None:
            store.put(str(response.headers.get("content-type", MANIFEST)), data)
        return data

    def put_manifest(self, wanted: str, media_type: str, data: bytes, what: str) -> httpx.Headers:
        """Write the manifest of a tag or digest. Raises RegistryError; `what` says what was to be taken."""
        response = self.try_manifest(wanted, media_type, data)
        if response.status_code not in (200, 201, 202):
            raise self.refused(response, f"take {what}")
        return response.headers

    def try_manifest(self, wanted: str, media_type: str, data: bytes) -> httpx.Response:
        """Send a manifest, and give the answer as it is."""
        path = f"manifests/{quote(wanted, safe=':')}"
        return self.call("PUT", path, scope=self.push, headers={"Content-Type": media_type}, body=data)

    def has(self, wanted: str, digest: str) -> bool:
        """Tell whether a tag leads to the manifest of this digest."""
        response = self.call("HEAD", f"manifests/{quote(wanted, safe=':')}", headers={"Accept": _TYPES})
        return response.status_code == 200 and response.headers.get("docker-content-digest") == digest

    def has_blob(self, blob: Descriptor) -> bool:
        """Tell whether a blob is in this repository."""
        response = self.call("HEAD", f"blobs/{blob.digest}")
        if response.status_code not in (200, 404):
            raise self.refused(response, f"say whether it has the blob {blob.digest}")
        return response.status_code == 200

    def open(self, blob: Descriptor) -> Iterator[bytes] | None:
        """Give the bytes of a blob, None if it is not here; a broken connection is taken up again."""
        response = self._blob(blob, 0)
        return None if response is None else self._chunks(blob, response)

    def _blob(self, blob: Descriptor, start: int) -> httpx.Response | None:
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = self.call("GET", f"blobs/{blob.digest}", headers=headers, stream=True)
        if response.status_code == 404:
            response.close()
            return None
        if response.status_code not in (200, 206):
            raise self.refused(response, f"give the blob {blob.digest}")
        return response

    def _chunks(self, blob: Descriptor, response: httpx.Response) -> Iterator[bytes]:
        import httpx

        given = 0
        for number in range(1, TRIES + 1):
            skip = given if response.status_code == 200 else 0
            try:
                with closing(response):
                    for chunk in response.iter_raw(_CHUNK):
                        fresh = chunk[skip:]
                        skip = max(0, skip - len(chunk))
                        given += len(fresh)
                        if fresh:
                            yield fresh
                return
            except httpx.TransportError as error:
                again = None if number == TRIES else self._blob(blob, given)
                if again is None:
                    what = f"the connection to {self.transport.registry} broke off within a blob"
                    raise errors.RegistryError(f"{what}: {error}") from None
                response = again

    def _config(self, manifest: dict[str, Any], store: BlobStore | None) -> bytes:
        blob = Descriptor.read(manifest.get("config"))
        if blob.size > _LARGEST:
            raise errors.RegistryError(f"the config {blob.digest} is too large")
        known = store.read(blob) if store else None
        if known is not None:
            return known
        data = b"".join(self.open(blob) or ())
        if digest_of(data) != blob.digest:
            raise errors.RegistryError(f"{self.transport.registry} gave another config than {blob.digest}")
        if store is not None:
            store.put(blob.media_type, data)
        return data


def _limited(response: httpx.Response) -> bytes:
    data = b""
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > _LARGEST:
            raise errors.RegistryError("the registry gave a manifest of more than 4 MiB")
    return data


def _document(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise errors.RegistryError("the registry gave a manifest that cannot be read")
    return value


def _of_platform(manifests: Any, platform: Platform) -> Descriptor | None:
    for value in manifests if isinstance(manifests, list) else ():
        place = value.get("platform") or {}
        parts = (str(place.get("os")), str(place.get("architecture")), str(place.get("variant") or ""))
        if Platform.parse("/".join(part for part in parts if part)) == platform:
            return Descriptor.read(value)
    return None
