"""The bill of materials of an image: Debian's and Alpine's packages, and Python distributions, in CycloneDX.

It is made from the layers themselves, whoever has filled them, and is the same for the same layers
everywhere. What was read of a layer is kept, so each is read once on a machine.
"""

from __future__ import annotations

import email.parser
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any
from urllib.parse import quote

from triggerdev.build.oci import contents
from triggerdev.build.oci.blobs import Blobs
from triggerdev.build.oci.members import Member, text
from triggerdev.build.oci.model import Layer
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.tokens import normalise_distribution

PLACE = "/opt/triggerdev/sbom.cdx.json"
MEDIA_TYPE = "application/vnd.cyclonedx+json"
_FORMAT = 1
_DPKG = "var/lib/dpkg/status"
_DPKG_PARTS = re.compile(r"var/lib/dpkg/status\.d/[^/]+")
_APK = "lib/apk/db/installed"
_RELEASE = "usr/lib/os-release"
_DISTRIBUTION = re.compile(r"(?:.*/)?[^/]+\.dist-info/METADATA")
_LARGEST = 64 << 20

Packages = list[tuple[str, str, str]]
"""Name, version, architecture."""


def make(project: str, layers: Sequence[Layer], blobs: Blobs, store: BlobStore) -> bytes:
    """Write the bill of materials of layers, bottom first. Raises BuildError for unreadable layers."""
    files: dict[str, Packages] = {}
    release = "debian"
    for layer in layers:
        seen = _seen(layer, blobs, store)
        for place in seen["removed"]:
            files = {path: found for path, found in files.items() if not _is_below(path, place)}
        files |= {path: [tuple(each) for each in found] for path, found in seen["files"].items()}
        release = seen["release"] or release
    components = {
        each["purl"]: each for path, found in files.items() for each in _components(path, found, release)
    }
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": project, "bom-ref": "image"},
            "tools": {"components": [{"type": "application", "name": "triggerdev"}]},
        },
        "components": [components[purl] for purl in sorted(components)],
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def member(content: bytes) -> Member:
    """Give the file of an image that holds its bill of materials."""
    return text(PLACE, content)


def _seen(layer: Layer, blobs: Blobs, store: BlobStore) -> dict[str, Any]:
    """Give what a layer removes, and the packages that files of it name; reads it once on a machine."""
    known = store.fact(_key(layer))
    if known is None:
        known = _nothing()
        for path, file in contents.files(layer, blobs, _is_wanted):
            _read(path, file, known)
        store.note(_key(layer), known)
    return known


def note_own(layer: Layer, paths: Iterable[str], store: BlobStore) -> None:
    """Spare reading a layer that was just written, if none of its files (paths below /) names packages."""
    if not any(_is_wanted(path) for path in paths):
        store.note(_key(layer), _nothing())


def _key(layer: Layer) -> str:
    return f"packages.{_FORMAT}:{layer.diff_id}"


def _nothing() -> dict[str, Any]:
    return {"removed": [], "files": {}, "release": ""}


def _is_wanted(path: str) -> bool:
    named = path in (_DPKG, _APK, _RELEASE) or _DPKG_PARTS.fullmatch(path)
    return bool(named or _DISTRIBUTION.fullmatch(path))


def _read(path: str, file: IO[bytes] | None, seen: dict[str, Any]) -> None:
    if file is None:
        seen["removed"].append(path)
        return
    data = file.read(_LARGEST).decode("utf-8", "replace")
    if path == _RELEASE:
        seen["release"] = next((line[3:].strip('"') for line in data.splitlines() if line[:3] == "ID="), "")
    elif path == _APK:
        seen["files"][path] = list(_records(data, "P:", "V:", "A:", ":"))
    elif path == _DPKG or _DPKG_PARTS.fullmatch(path):
        seen["files"][path] = list(_records(data, "Package:", "Version:", "Architecture:", ": "))
    else:
        headers = email.parser.HeaderParser().parsestr(data)
        if headers["Name"] and headers["Version"]:
            seen["files"][path] = [(str(headers["Name"]), str(headers["Version"]), "")]


def _records(
    data: str, name: str, version: str, architecture: str, colon: str
) -> Iterator[tuple[str, str, str]]:
    """Read records that blank lines part; of Debian's only those that are installed."""
    for block in data.split("\n\n"):
        fields = dict(
            line.split(colon, 1) for line in block.splitlines() if colon in line and line[:1] != " "
        )
        status = fields.get("Status", "install ok installed")
        values = [fields.get(each.rstrip(":"), "").strip() for each in (name, version, architecture)]
        if values[0] and values[1] and status.strip().endswith(" installed"):
            yield values[0], values[1], values[2]


def _components(path: str, found: Packages, release: str) -> Iterator[Mapping[str, Any]]:
    for name, version, architecture in found:
        if posixpath.basename(path) == "METADATA":
            shown = normalise_distribution(name)
            purl = f"pkg:pypi/{quote(shown)}@{quote(version)}"
        else:
            shown = name
            kind = "apk" if path == _APK else "deb"
            where = f"?arch={quote(architecture)}" if architecture else ""
            purl = f"pkg:{kind}/{quote(release)}/{quote(name)}@{quote(version)}{where}"
        yield {"type": "library", "name": shown, "version": version, "purl": purl, "bom-ref": purl}


def _is_below(path: str, place: str) -> bool:
    return path == place or not place or path.startswith(f"{place}/")
