"""Layers of files on top of the lower part, and the settings of the image."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from triggerdev.build import sbom as materials
from triggerdev.build.deploying.secrets import Secrets
from triggerdev.build.deploying.shared import Shared
from triggerdev.build.files import FileEntry
from triggerdev.build.oci import image as images
from triggerdev.build.oci import layer as layers
from triggerdev.build.oci.blobs import Blobs
from triggerdev.build.oci.image import Added, Settings
from triggerdev.build.oci.members import Member
from triggerdev.build.oci.model import Image, Layer
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.plan import PlanLayer
from triggerdev.build.progress import Event, Progress
from triggerdev.build.wheels import interpreter
from triggerdev.build.wheels import layer as wheels
from triggerdev.worker.deployed.code import HASH_VARIABLE

_THREADS = 4


@dataclass
class FileLayers:
    """Writes the layers of files, those that are not known, several at a time.

    `environ` is what uv may use. With `no_cache` none counts as known.
    """

    store: BlobStore
    progress: Progress
    platform: str
    secrets: Secrets
    environ: Mapping[str, str] = field(repr=False)
    no_cache: bool = False
    shared: Shared | None = None

    def __post_init__(self) -> None:
        self._told = threading.Lock()

    def known(self, layer: PlanLayer) -> Layer | None:
        """Give a layer that was written before, here or, as far as it takes long, elsewhere."""
        if self.no_cache:
            return None
        if layer.kind != "wheels":
            return self.store.layer(layers.versioned(layer.key))
        key = wheels.key_of(layer, self.platform)
        return self.store.layer(key) or (self.shared.layer(key) if self.shared else None)

    def make(self, above: Sequence[PlanLayer], lower: Image, blobs: Blobs) -> list[Added]:
        """Give the layers that come on top of the lower part, `blobs` is where its layers are.

        Raises NeedsBuildingError for Python packages without wheels, BuildError for what cannot be written.
        """
        wanted = [layer for layer in above if layer.files or layer.kind == "wheels"]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda layer: self._one(layer, lower, blobs), wanted))

    def materials(self, sbom: bytes) -> Added:
        """Give the layer that holds a bill of materials."""
        key = layers.versioned(f"sbom:{hashlib.sha256(sbom).hexdigest()}")
        made = self.store.layer(key) or layers.write(self.store, key, [materials.member(sbom)])
        return Added(made, "triggerdev bill of materials")

    def _one(self, layer: PlanLayer, lower: Image, blobs: Blobs) -> Added:
        started = time.perf_counter()
        made = self.known(layer)
        if made is not None:
            self._tell(Event("step", layer.id, "cached"))
        else:
            self._tell(Event("step", layer.id, "started"))
            made = self._wheels(layer, lower, blobs) if layer.kind == "wheels" else self._files(layer)
            self._tell(Event("step", layer.id, "done", seconds=time.perf_counter() - started))
        return Added(made, f"triggerdev layer {layer.id}")

    def _files(self, layer: PlanLayer) -> Layer:
        made = layers.write(
            self.store, layers.versioned(layer.key), [_member(entry) for entry in layer.files]
        )
        materials.note_own(made, (entry.destination.lstrip("/") for entry in layer.files), self.store)
        return made

    def _wheels(self, layer: PlanLayer, lower: Image, blobs: Blobs) -> Layer:
        found = interpreter.find(lower, layer.python, blobs, self.store)
        target = wheels.Target(self.platform, found.path, found.musl)
        environ = {**self.environ, **self.secrets.needed(layer.secrets)}
        around = wheels.Surroundings(
            environ, self.progress.mask, lambda line: self._tell(Event("line", layer.id, text=line))
        )
        return wheels.build(self.store, layer, target, around, fresh=self.no_cache)

    def _tell(self, event: Event) -> None:
        with self._told:
            self.progress.tell(event)


def _member(entry: FileEntry) -> Member:
    return Member(
        entry.destination,
        mode=entry.mode,
        size=entry.size,
        content=entry.content,
        source=entry.path,
        sha256=entry.sha256,
    )


def assemble(lower: Image, added: Sequence[Added], settings: Settings, manifest_hash: str = "") -> Image:
    """Put everything together; with the hash of the tasks' index, which the worker compares at its start."""
    env = {**settings.env, **({HASH_VARIABLE: manifest_hash} if manifest_hash else {})}
    return images.append(lower, added, dataclasses.replace(settings, env=env))
