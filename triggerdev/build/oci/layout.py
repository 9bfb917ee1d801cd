"""OCI image layouts: a folder with `oci-layout`, `index.json` and `blobs/sha256/`."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev.build.oci import image as images
from triggerdev.build.oci.blobs import Blobs, Memory, Several, needed
from triggerdev.build.oci.model import INDEX, MANIFEST, Descriptor, Image, Platform, canonical
from triggerdev.build.oci.store import chunks_of

VERSION = canonical({"imageLayoutVersion": "1.0.0"})
NAME = "org.opencontainers.image.ref.name"
_LARGEST = 4 << 20
_DEEPEST = 4


class Layout:
    """A layout that exists. Raises BuildError for folders that are none, and for documents that lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "oci-layout").is_file():
            raise errors.BuildError(f"{folder} is no OCI layout: it has no file oci-layout")

    def open(self, blob: Descriptor) -> Iterator[bytes] | None:
        """Give the bytes of a blob in chunks, None if it is not here."""
        path = self._path(blob)
        return chunks_of(path) if path.is_file() else None

    def image(self, platform: Platform, name: str = "") -> Image:
        """Give the image for a platform, of several that the layout has the one with this name."""
        try:
            top = json.loads((self.folder / "index.json").read_bytes())["manifests"]
            named = [each for each in top if not name or (each.get("annotations") or {}).get(NAME) == name]
            found = self._search(named, platform, 0)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise errors.BuildError(f"{self.folder}/index.json cannot be read as an index") from None
        if found is None:
            which = f" named {name!r}" if name else ""
            raise errors.BuildError(f"{self.folder} has no image{which} for {platform}")
        return found

    def _search(self, manifests: Sequence[Any], platform: Platform, depth: int) -> Image | None:
        for value in manifests:
            blob = Descriptor.read(value)
            if blob.media_type == INDEX and depth < _DEEPEST:
                found = self._search(json.loads(self._document(blob))["manifests"], platform, depth + 1)
            elif blob.media_type == MANIFEST and "attestation" not in str(value.get("annotations")):
                found = self._image(value, blob)
                found = found if found.platform == platform else None
            else:
                found = None
            if found:
                return found
        return None

    def _image(self, value: Any, blob: Descriptor) -> Image:
        manifest = self._document(blob)
        config = Descriptor.read(json.loads(manifest)["config"])
        return images.parse(manifest, self._document(config), value["mediaType"])

    def _document(self, blob: Descriptor) -> bytes:
        if blob.size > _LARGEST:
            raise errors.BuildError(f"{blob.digest} in {self.folder} is too large for a document")
        path = self._path(blob)
        data = path.read_bytes() if path.is_file() else b""
        if Descriptor.of(blob.media_type, data) != blob:
            raise errors.BuildError(f"the blob {blob.digest} of {self.folder} is missing or damaged")
        return data

    def _path(self, blob: Descriptor) -> Path:
        return self.folder / "blobs" / "sha256" / blob.digest.removeprefix("sha256:")


def write(folder: Path, image: Image, blobs: Blobs, name: str = "") -> Layout:
    """Write an image as a layout; blobs that are there stay, and `index.json` is replaced at the end.

    Raises BuildError for blobs that are nowhere or are not what their digest says.
    """
    target = folder / "blobs" / "sha256"
    target.mkdir(parents=True, exist_ok=True)
    places = Several([Memory(image.config, image.manifest), blobs])
    for blob in blobs_of(image):
        path = target / blob.digest.removeprefix("sha256:")
        if not path.is_file() or path.stat().st_size != blob.size:
            _copy(path, blob, places)
    _replace(folder / "oci-layout", VERSION)
    _replace(folder / "index.json", index_of(image, name))
    return Layout(folder)


def blobs_of(image: Image) -> list[Descriptor]:
    """Give all blobs of an image, each once: layers, config, manifest."""
    found = [*(layer.blob for layer in image.layers), image.config_descriptor, image.descriptor]
    return list({blob.digest: blob for blob in found}.values())


def index_of(image: Image, name: str = "") -> bytes:
    """Write the index of a layout that holds one image."""
    entry = image.descriptor.as_json() | {"platform": {"os": image.platform.os}}
    entry["platform"]["architecture"] = image.platform.architecture
    if name:
        entry["annotations"] = {NAME: name}
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})


def _copy(path: Path, blob: Descriptor, places: Blobs) -> None:
    hasher, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            for chunk in needed(places, blob):
                hasher.update(chunk)
                size += len(chunk)
                file.write(chunk)
            if (f"sha256:{hasher.hexdigest()}", size) != (blob.digest, blob.size):
                raise errors.BuildError(f"the blob {blob.digest} is damaged; build it again with --no-cache")
            file.flush()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
