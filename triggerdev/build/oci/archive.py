"""Images as one tar, for `docker load` (20.10, too) and `podman load`; and what `docker save` wrote.

The tar is an OCI layout that has a `manifest.json` beside it, as older Dockers want it.
"""

import gzip
import json
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from triggerdev import errors
from triggerdev.build.oci import image as images
from triggerdev.build.oci import layer, tar
from triggerdev.build.oci.blobs import Blobs, Memory, Several, needed
from triggerdev.build.oci.layout import VERSION, blobs_of, index_of
from triggerdev.build.oci.members import Member, complete, text
from triggerdev.build.oci.model import Descriptor, Image, Layer, canonical
from triggerdev.build.oci.store import BlobStore


def stream(image: Image, blobs: Blobs, name: str = "", without: Collection[str] = ()) -> Iterator[bytes]:
    """Yield the tar of an image.

    `without` holds digests of layers to be left out, which an engine with the classic store takes from what
    it has; the containerd store wants all.
    """
    places = Several([Memory(image.config, image.manifest), blobs])
    wanted = [blob for blob in blobs_of(image) if blob.digest not in without]
    documents = [
        text("oci-layout", VERSION),
        text("index.json", index_of(image, name)),
        text("manifest.json", _docker(image, name)),
    ]
    known = {_place(blob): blob for blob in wanted}
    stubs = [Member(place, size=blob.size) for place, blob in known.items()]
    yield from tar.stream(complete([*documents, *stubs]), lambda member: needed(places, known[member.path]))


def write(path: Path, image: Image, blobs: Blobs, name: str = "") -> None:
    """Write the tar of an image to a file, which is whole or not there."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            for chunk in stream(image, blobs, name):
                file.write(chunk)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _place(blob: Descriptor) -> str:
    return f"blobs/sha256/{blob.digest.removeprefix('sha256:')}"


def _docker(image: Image, name: str) -> bytes:
    entry = {
        "Config": _place(image.config_descriptor),
        "RepoTags": [name] if name else None,
        "Layers": [_place(layer.blob) for layer in image.layers],
    }
    return canonical([entry])


def read(path: Path, store: BlobStore) -> Image:
    """Read the image of a tar that `docker save` wrote; its layers go to the store, compressed.

    Raises BuildError if the tar holds no image, several, or layers that are not what the config says.
    """
    try:
        with tarfile.open(path) as archive:
            return _saved(archive, store)
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise errors.BuildError(f"{path} is no saved image: {error}") from None


def _saved(archive: tarfile.TarFile, store: BlobStore) -> Image:
    (entry,) = json.loads(_whole(archive, "manifest.json"))
    config = _whole(archive, entry["Config"])
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    pairs = zip(entry["Layers"], diff_ids, strict=True)
    layers = [_layer(archive, name, diff_id, store) for name, diff_id in pairs]
    return images.rebuilt(config, layers)


def _whole(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()


def _layer(archive: tarfile.TarFile, name: str, diff_id: str, store: BlobStore) -> Layer:
    """Give a saved layer, compressed anew unless one with its diff id is known."""
    key = f"diff:{diff_id}"
    known = store.layer(key)
    if known:
        return known
    made = replace(layer.from_tar(store, _chunks(archive, name)), key=key)
    if made.diff_id != diff_id:
        raise errors.BuildError(f"the layer {name} is {made.diff_id}, but the config says {diff_id}")
    store.remember(made)
    return made


def _chunks(archive: tarfile.TarFile, name: str) -> Iterator[bytes]:
    """Yield a layer's tar, which newer Dockers save compressed."""
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    with file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        with gzip.open(file) if compressed else file as plain:
            while chunk := plain.read(tar.CHUNK):
                yield chunk
