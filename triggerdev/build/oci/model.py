"""The words of the OCI image specification: descriptors, layers, images, platforms."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from triggerdev import errors

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

OCI_TYPES = {
    DOCKER_MANIFEST: MANIFEST,
    DOCKER_INDEX: INDEX,
    "application/vnd.docker.container.image.v1+json": CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
}
"""What Docker's schema 2 types are called in OCI's; the bytes that they name are the same."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> str:
    """Give the digest of bytes, "sha256:..."."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def checked_digest(text: Any) -> str:
    """Give a digest back. Raises BuildError for everything but a sha256, since digests become file names."""
    if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
        raise errors.BuildError(f"{text!r} is no sha256 digest, the only kind that is supported")
    return text


def canonical(value: Any) -> bytes:
    """Write plain data as JSON: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Descriptor:
    """What a blob is called: its type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        """Write the descriptor as manifests do."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def of(cls, media_type: str, data: bytes) -> "Descriptor":
        """Describe bytes."""
        return cls(media_type, digest_of(data), len(data))

    @classmethod
    def read(cls, value: Any) -> "Descriptor":
        """Read a descriptor of a manifest, with OCI's name for its type. Raises BuildError if it is none."""
        try:
            media_type, size = value["mediaType"], value["size"]
            digest = checked_digest(value["digest"])
        except (KeyError, TypeError):
            raise errors.BuildError(f"{value!r} is no descriptor of a blob") from None
        if not isinstance(media_type, str) or not isinstance(size, int) or size < 0:
            raise errors.BuildError(f"{value!r} is no descriptor of a blob")
        return cls(OCI_TYPES.get(media_type, media_type), digest, size)


@dataclass(frozen=True)
class Layer:
    """A layer that exists: `diff_id` is the digest of its tar, `blob` describes it as it is sent.

    `key` is the content key of the plan's layer, "" for layers of a base.
    """

    diff_id: str
    blob: Descriptor
    key: str = ""


@dataclass(frozen=True, order=True)
class Platform:
    """Operating system, architecture, and variant where there is one."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Read "linux/amd64" or "linux/arm/v7"; arm64's only variant, v8, is left out."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise errors.BuildError(f"{text!r} is no platform; write for example linux/amd64")
        variant = parts[2] if len(parts) == 3 else ""
        return cls(parts[0], parts[1], "" if (parts[1], variant) == ("arm64", "v8") else variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class Image:
    """A manifest and a config as the very bytes that their digests are of, and the layers they name."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    media_type: str = MANIFEST

    @cached_property
    def descriptor(self) -> Descriptor:
        """Describe the manifest; its digest is the image's."""
        return Descriptor.of(self.media_type, self.manifest)

    @cached_property
    def config_descriptor(self) -> Descriptor:
        """Describe the config; its digest is what engines call the image's id."""
        return Descriptor.of(CONFIG, self.config)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Give the config as data."""
        value: dict[str, Any] = json.loads(self.config)
        return value

    @property
    def platform(self) -> Platform:
        """Give what the image runs on."""
        whole = self.settings
        text = "/".join(
            part for part in (whole.get("os"), whole.get("architecture"), whole.get("variant")) if part
        )
        return Platform.parse(text)
