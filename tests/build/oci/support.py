"""Small images to put layers on, and what an unpacked layer holds."""

import gzip
import io
import tarfile
from pathlib import Path

from triggerdev.build.oci import image, layer
from triggerdev.build.oci.members import Member, text
from triggerdev.build.oci.model import Image, Layer, Platform
from triggerdev.build.oci.store import BlobStore

AMD64 = Platform("linux", "amd64")


def made(store: BlobStore, *members: Member, key: str = "") -> Layer:
    return layer.write(store, key, members)


def base(store: BlobStore) -> Image:
    """An image with one layer, a PATH and a command."""
    bottom = image.Added(made(store, text("/etc/os-release", "ID=test\n")), "made for a test")
    settings = image.Settings(env={"PATH": "/usr/bin:/bin", "LANG": "C"}, command=("sh",))
    return image.append(image.scratch(AMD64), [bottom], settings)


def contents(store: BlobStore, layer: Layer) -> dict[str, tarfile.TarInfo]:
    path = store.path(layer.blob)
    assert path is not None
    with tarfile.open(path) as archive:
        return {info.name: info for info in archive.getmembers()}


def unpack(path: Path, folder: Path) -> Path:
    """Unpack a tar that we have written; gives the folder."""
    with tarfile.open(path) as archive:
        if hasattr(tarfile, "tar_filter"):
            archive.extractall(folder, filter="tar")
        else:  # before Python 3.11.4
            archive.extractall(folder)
    return folder


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def entries(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()
