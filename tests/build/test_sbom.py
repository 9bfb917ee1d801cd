"""The bill of materials: what layers hold counts, not who has filled them."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from triggerdev.build import sbom
from triggerdev.build.oci import layer as layers
from triggerdev.build.oci.members import text
from triggerdev.build.oci.model import Layer
from triggerdev.build.oci.store import BlobStore

DPKG = """\
Package: tree
Status: install ok installed
Architecture: amd64
Version: 2.1.0-1
Description: lists folders
 Package: not-a-field

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
APK = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\n\nP:zlib\nV:1.3-r1\nA:x86_64\n"
SITE = "opt/venv/lib/python3.12/site-packages"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def layer(store: BlobStore, files: Mapping[str, str]) -> Layer:
    """Make a layer as an engine might: with names of its own kind."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(f"./{path}")
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return layers.from_tar(store, [out.getvalue()])


def purls(store: BlobStore, *found: Layer) -> list[str]:
    document = json.loads(sbom.make("demo", found, store, store))
    assert document["bomFormat"] == "CycloneDX"
    return [component["purl"] for component in document["components"]]


def wheel(name: str, version: str) -> dict[str, str]:
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nVersion: 9\n"
    return {f"{SITE}/{name.lower()}-{version}.dist-info/METADATA": metadata}


def test_debian_alpine_and_python_packages_are_listed_and_sorted(store: BlobStore) -> None:
    base = layer(store, {"usr/lib/os-release": 'NAME="x"\nID=debian\n', "var/lib/dpkg/status": DPKG})
    top = layer(store, {**wheel("Foo.Bar", "1.0"), **wheel("abc", "2.0+local")})
    assert purls(store, base, top) == [
        "pkg:deb/debian/tree@2.1.0-1?arch=amd64",
        "pkg:pypi/abc@2.0%2Blocal",
        "pkg:pypi/foo-bar@1.0",
    ]
    alpine = layer(store, {"usr/lib/os-release": "ID=alpine\n", "lib/apk/db/installed": APK})
    assert purls(store, alpine) == [
        "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64",
        "pkg:apk/alpine/zlib@1.3-r1?arch=x86_64",
    ]


def test_a_layer_above_counts_instead_of_one_below(store: BlobStore) -> None:
    below = layer(store, {"var/lib/dpkg/status": DPKG, **wheel("abc", "1.0"), **wheel("kept", "1.0")})
    changed = DPKG.replace("2.1.0-1", "2.2.0-1")
    gone = {f"{SITE}/.wh.abc-1.0.dist-info": "", "var/lib/dpkg/status": changed}
    assert purls(store, below, layer(store, gone)) == [
        "pkg:deb/debian/tree@2.2.0-1?arch=amd64",
        "pkg:pypi/kept@1.0",
    ]


def test_it_is_the_same_when_a_layer_is_not_read_again(store: BlobStore, tmp_path: Path) -> None:
    found = layer(store, {"var/lib/dpkg/status": DPKG, **wheel("abc", "1.0")})
    first = sbom.make("demo", [found], store, store)
    path = store.path(found.blob)
    assert path is not None
    path.unlink()
    assert sbom.make("demo", [found], store, store) == first
    assert str(tmp_path) not in first.decode()


def test_own_layers_are_only_read_if_a_file_names_packages(store: BlobStore) -> None:
    plain = layers.write(store, "", [text("app/trigger/a.py", b"x = 1\n")])
    sbom.note_own(plain, ["app/trigger/a.py"], store)
    (path, content), *_ = wheel("abc", "1.0").items()
    vendored = layers.write(store, "", [text(path, content.encode())])
    sbom.note_own(vendored, [path], store)
    unreadable = store.path(plain.blob)
    assert unreadable is not None
    unreadable.unlink()
    assert purls(store, plain, vendored) == ["pkg:pypi/abc@1.0"]


def test_what_is_no_package_is_left_out(store: BlobStore) -> None:
    found = layer(
        store, {f"{SITE}/x-1.dist-info/METADATA": "Summary: no name\n", "var/lib/dpkg/status": "\x00"}
    )
    assert purls(store, found) == []
