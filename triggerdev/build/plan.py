"""The plan of an image: plain data, complete, the same for the same project wherever it lies."""

from dataclasses import dataclass, field
from typing import Literal

from triggerdev.build.dependencies import Dependencies
from triggerdev.build.files import FileEntry
from triggerdev.build.layers import BuildLayer

Kind = Literal["base", "apt", "instructions", "dependencies", "files", "commands"]
EXECUTED: frozenset[Kind] = frozenset({"apt", "instructions", "dependencies", "commands"})
"""Kinds whose layers come from running something, so that what lies below is part of what they are."""

CORE = "triggerdev"
"""Who adds the layers that no extension adds."""


@dataclass(frozen=True)
class Contribution:
    """A layer that a hook added: by which extension, and its files as they were found."""

    extension: str
    layer: BuildLayer
    files: tuple[FileEntry, ...] = ()


@dataclass(frozen=True)
class Parts:
    """All of an image that does not come from extensions."""

    runtime: str
    base: str
    platforms: tuple[str, ...]
    dependencies: Dependencies
    runtime_files: tuple[FileEntry, ...]
    source: tuple[FileEntry, ...]
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanLayer:
    """One layer of the image, bottom first in a plan.

    `files` stay in the image; `inputs` are only there while the layer is built. `env` holds variables of that
    moment, `secrets` the names of those that are mounted, `variables` names of those kept by the server.
    `size` is in bytes, None where only building tells.
    """

    id: str
    extension: str
    kind: Kind
    key: str = ""
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    files: tuple[FileEntry, ...] = ()
    inputs: tuple[FileEntry, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    script: tuple[str, ...] = ()

    @property
    def size(self) -> int | None:
        """Bytes of the layer's files; None if it has other content, too."""
        if self.kind in ("base", "apt", "instructions", "dependencies"):
            return None
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True)
class ImagePlan:
    """An image: what it is built on and its layers, bottom first."""

    runtime: str
    base: str
    platforms: tuple[str, ...]
    layers: tuple[PlanLayer, ...]

    def layer(self, layer_id: str) -> PlanLayer:
        """Give the layer of an id; raises KeyError if there is none."""
        for layer in self.layers:
            if layer.id == layer_id:
                return layer
        raise KeyError(layer_id)
