"""The layer of a plan's Python dependencies."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from triggerdev.build.oci import layer as layers
from triggerdev.build.oci.model import Layer
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.plan import PlanLayer
from triggerdev.build.wheels import venv
from triggerdev.build.wheels.install import install
from triggerdev.build.wheels.normalise import Tree
from triggerdev.build.wheels.uv import Uv


@dataclass(frozen=True)
class Target:
    """What wheels are for: a platform such as "linux/amd64", the image's interpreter, and its C library."""

    platform: str
    interpreter: str
    musl: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What installing may use: variables of indexes and their secrets, a mask for them, a log."""

    environ: Mapping[str, str] = field(repr=False)
    mask: Callable[[str], str] = str
    log: Callable[[str], None] = lambda _line: None


def key_of(planned: PlanLayer, platform: str) -> str:
    """Give the key of the layer for one platform."""
    return layers.versioned(f"{planned.key}.{platform}")


def build(
    store: BlobStore, planned: PlanLayer, target: Target, around: Surroundings, *, fresh: bool = False
) -> Layer:
    """Give the layer of a plan's "wheels": the one that is known by key, else (or if `fresh`) a new one.

    Raises NeedsBuildingError for packages without wheels, BuildError for what uv refuses.
    """
    key = key_of(planned, target.platform)
    known = None if fresh else store.layer(key)
    if known:
        return known
    with _staging(store) as folder:
        uv = Uv(folder, around.environ, around.mask, around.log)
        tree = install(planned.inputs, uv, planned.python, target.platform, target.musl)
        members = [*venv.members(planned.python, target.interpreter), *Tree(tree, planned.python).members()]
        return layers.write(store, key, members)


@contextmanager
def _staging(store: BlobStore) -> Iterator[Path]:
    """Make a folder beside the blobs, where uv can link files of its cache instead of copying them."""
    parent = store.folder / "partial"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="wheels-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
