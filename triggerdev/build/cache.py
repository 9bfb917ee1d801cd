"""The record of what this project has built: layers by content key, and the lower parts of images.

A dry run only reads it. Blobs are in the user's store; what is no longer there counts as not built.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggerdev.build.oci import image as images
from triggerdev.build.oci.model import CONFIG, Descriptor, Image
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.plan import PlanLayer

RECORD = ".trigger/cache/layers.json"
_KEPT = 200
"""Layers and prefixes that are remembered, the latest ones."""


@dataclass(frozen=True)
class Status:
    """Whether a layer can be reused ("cached") or has to be built ("build"), and why."""

    status: str
    reason: str


class LayerRecord:
    """Which content keys were built, the last key of each layer id, and images by the key of their prefix."""

    def __init__(self, layers: dict[str, str], prefixes: dict[str, Any] | None = None) -> None:
        self._id_by_key = layers
        self._prefixes = prefixes or {}

    def status(self, layer_id: str, key: str) -> Status:
        """Tell whether a layer with this key was built."""
        if key in self._id_by_key:
            return Status("cached", "a layer with this content was built before")
        if layer_id in self._id_by_key.values():
            return Status("build", "its content has changed")
        return Status("build", "it was never built here")

    def prefix(self, key: str, store: BlobStore) -> Image | None:
        """Give the lower part of an image that was built for a key, if it is all there.

        The layers of one that came from a registry are there, too.
        """
        entry = self._prefixes.get(key)
        if entry is None:
            return None
        try:
            manifest = store.read(Descriptor.read(entry["manifest"]))
            config = store.read(Descriptor.read(entry["config"]))
            image = images.parse(manifest or b"", config or b"", str(entry["manifest"]["mediaType"]))
        except Exception:
            return None  # damaged, or no longer there: it is built again
        whole = entry.get("remote") or all(store.path(layer.blob) for layer in image.layers)
        return image if whole else None

    def add_prefix(self, key: str, image: Image, store: BlobStore, *, remote: bool) -> None:
        """Remember the lower part of an image; with `remote` a registry has its layers."""
        manifest = store.put(image.media_type, image.manifest)
        config = store.put(CONFIG, image.config)
        self._prefixes.pop(key, None)
        documents = {"manifest": manifest.as_json(), "config": config.as_json()}
        self._prefixes[key] = {**documents, "remote": remote}

    def add_layers(self, layers: Iterable[PlanLayer]) -> None:
        """Remember that layers were built."""
        for layer in layers:
            self._id_by_key.pop(layer.key, None)
            self._id_by_key[layer.key] = layer.id

    def write(self, root: Path) -> None:
        """Write the record below a project's folder; the latest entries are kept."""
        layers = {key: {"id": name} for key, name in list(self._id_by_key.items())[-_KEPT:]}
        prefixes = dict(list(self._prefixes.items())[-_KEPT:])
        path = root / RECORD
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump({"layers": layers, "prefixes": prefixes}, file, indent=1)
        os.replace(file.name, path)  # noqa: PTH105 - over a file that is there


def read_record(root: Path) -> tuple[LayerRecord, str | None]:
    """Read a project's record, and give a warning if there is one that cannot be read."""
    path = root / RECORD
    try:
        data = json.loads(path.read_bytes())
        layers = {str(key): str(entry["id"]) for key, entry in data["layers"].items()}
        prefixes = dict(data.get("prefixes") or {})
    except FileNotFoundError:
        return LayerRecord({}), None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return LayerRecord({}), f"{RECORD} cannot be read, so no layer counts as cached; delete it"
    return LayerRecord(layers, prefixes), None
