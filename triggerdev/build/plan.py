"""The plan of an image: plain data, complete, the same for the same project wherever it lies."""

from dataclasses import dataclass, field
from typing import Literal

from triggerdev.build.dependencies import Dependencies
from triggerdev.build.files import FileEntry
from triggerdev.build.layers import BuildLayer

Kind = Literal["base", "apt", "instructions", "dependencies", "wheels", "files", "commands"]
EXECUTED: frozenset[Kind] = frozenset({"apt", "instructions", "dependencies", "commands"})
"""Kinds whose layers come from running something in the image."""
STACKED = EXECUTED | {"wheels"}
"""Kinds for which what lies below is part of what they are; wheels find their interpreter there."""

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
    python: str = "3.12"


@dataclass(frozen=True)
class PlanLayer:
    """One layer of the image, bottom first in a plan.

    `files` stay in the image; `inputs` are only there while the layer is built. `env` holds variables of that
    moment, `secrets` the names of those that are mounted, `variables` names of those kept by the server.
    Python dependencies are "wheels" when uv can install them on this machine as files, else "dependencies",
    which `script` installs in the image; `python` is the version that they are for.
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
    python: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of the layer's files; None if it has other content, too."""
        if self.kind in ("base", "apt", "instructions", "dependencies", "wheels"):
            return None
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True)
class ImagePlan:
    """An image: what it is built on and its layers, bottom first."""

    runtime: str
    base: str
    platforms: tuple[str, ...]
    layers: tuple[PlanLayer, ...]

    @property
    def executed(self) -> tuple[PlanLayer, ...]:
        """Give the base and all layers up to the last one that executes something."""
        last = max(index for index, layer in enumerate(self.layers) if index == 0 or layer.kind in EXECUTED)
        return self.layers[: last + 1]

    @property
    def appended(self) -> tuple[PlanLayer, ...]:
        """Give the layers above those, which are made of files only."""
        return self.layers[len(self.executed) :]

    def layer(self, layer_id: str) -> PlanLayer:
        """Give the layer of an id; raises KeyError if there is none."""
        for layer in self.layers:
            if layer.id == layer_id:
                return layer
        raise KeyError(layer_id)
