"""Layers of files on top of the lower part, and the settings of the image."""

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from triggerdev.build.files import FileEntry
from triggerdev.build.oci import image as images
from triggerdev.build.oci import layer as layers
from triggerdev.build.oci.image import Added, Settings
from triggerdev.build.oci.members import Member
from triggerdev.build.oci.model import Image, Layer
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.plan import PlanLayer
from triggerdev.build.progress import Event, Progress
from triggerdev.worker.deployed.code import HASH_VARIABLE

_THREADS = 4


def file_layers(above: Sequence[PlanLayer], store: BlobStore, progress: Progress) -> list[Added]:
    """Give the layers of files, written where they are not known; several at a time."""
    told = threading.Lock()

    def one(layer: PlanLayer) -> Added:
        known = store.layer(layers.versioned(layer.key))
        made = known or _write(layer, store)
        with told:
            progress.tell(Event("step", layer.id, "cached" if known else "done"))
        return Added(made, f"triggerdev layer {layer.id}")

    wanted = [layer for layer in above if layer.files]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(one, wanted))


def _write(layer: PlanLayer, store: BlobStore) -> Layer:
    return layers.build(store, layer.key, [_member(entry) for entry in layer.files])


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
