"""Where an image has its Python."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from tests.build.oci.support import AMD64
from triggerdev import errors
from triggerdev.build.oci import image, layer
from triggerdev.build.oci.members import Member, link, text
from triggerdev.build.oci.model import LAYER_ZSTD, Descriptor, Image, Layer
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.wheels.interpreter import Interpreter, find


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def stacked(store: BlobStore, *layers: list[Member], path: str = "/usr/local/bin:/usr/bin:/bin") -> Image:
    added = [image.Added(layer.write(store, "", members)) for members in layers]
    return image.append(image.scratch(AMD64), added, image.Settings(env={"PATH": path}))


def with_deletion(store: BlobStore, name: str) -> Layer:
    """A layer as engines write it, which deletes a file or empties a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return layer.from_tar(store, [buffer.getvalue()])


def test_the_first_python_of_the_path_is_taken(store: BlobStore) -> None:
    both = [link("/usr/bin/python3.12", "python3.12-real"), text("/usr/local/bin/python3.12", "")]
    assert find(stacked(store, both), "3.12", store, store) == Interpreter("/usr/local/bin/python3.12", False)
    reverse = stacked(store, both, path="/usr/bin:/usr/local/bin")
    assert find(reverse, "3.12", store, store).path == "/usr/bin/python3.12"


def test_the_c_library_is_known_by_its_loader(store: BlobStore) -> None:
    alpine = [text("/usr/bin/python3.12", ""), text("/lib/ld-musl-x86_64.so.1", "")]
    assert find(stacked(store, alpine), "3.12", store, store).musl


def test_an_image_without_the_wanted_python_is_an_error(store: BlobStore) -> None:
    with pytest.raises(errors.BuildError, match=r"no python3\.12 in /usr/local/bin:/usr/bin:/bin"):
        find(stacked(store, [text("/usr/bin/python3.11", "")]), "3.12", store, store)


@pytest.mark.parametrize(
    "name", ["usr/bin/.wh.python3.12", "usr/bin/.wh..wh..opq", "usr/.wh.bin", ".wh..wh..opq"]
)
def test_what_a_layer_has_deleted_is_not_there(store: BlobStore, name: str) -> None:
    bottom = stacked(store, [text("/usr/bin/python3.12", "")])
    whole = image.append(bottom, [image.Added(with_deletion(store, name))], image.Settings())
    with pytest.raises(errors.BuildError, match=r"no python3\.12"):
        find(whole, "3.12", store, store)


def test_layers_are_read_once(store: BlobStore) -> None:
    whole = stacked(store, [text("/usr/bin/python3.12", "")])
    first = find(whole, "3.12", store, store)

    class Nowhere:
        def open(self, blob: Descriptor) -> None:
            raise AssertionError(f"{blob} was read again")

    assert find(whole, "3.12", Nowhere(), store) == first


@pytest.mark.parametrize(("made_by", "musl"), [("apt-get update", False), ("apk add --no-cache", True)])
def test_pythons_own_images_are_not_read(store: BlobStore, made_by: str, musl: bool) -> None:
    env = {"PYTHON_VERSION": "3.12.7", "PYTHON_SHA256": "0"}
    bottom = image.Added(layer.write(store, "", [text("/x", "")]), made_by)
    whole = image.append(image.scratch(AMD64), [bottom], image.Settings(env=env))
    assert find(whole, "3.12", store, store) == Interpreter("/usr/local/bin/python3.12", musl)
    with pytest.raises(errors.BuildError, match=r"no python3\.1 in"):
        find(whole, "3.1", store, store)


def test_layers_that_cannot_be_read_are_an_error(store: BlobStore) -> None:
    def whole(media_type: str, data: bytes) -> Image:
        blob = store.put(media_type, data)
        return image.append(image.scratch(AMD64), [image.Added(Layer(blob.digest, blob))], image.Settings())

    with pytest.raises(errors.BuildError, match="only gzip is supported"):
        find(whole(LAYER_ZSTD, b"x"), "3.12", store, store)
    with pytest.raises(errors.BuildError, match="cannot be read"):
        find(
            whole("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(b"x" * 600)),
            "3.12",
            store,
            store,
        )
