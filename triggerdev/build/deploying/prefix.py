"""The lower part of an image: the base, and what must be executed on top of it.

It is built once for each content key, by an engine, and kept as blobs in the user's store, so that later
deploys need no engine for it. Where nothing is executed it is the base image alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from triggerdev import errors
from triggerdev.build import folder, render
from triggerdev.build.backends.choosing import Engines
from triggerdev.build.backends.protocol import Backend, BuildRequest
from triggerdev.build.cache import LayerRecord
from triggerdev.build.deploying.secrets import Secrets
from triggerdev.build.deploying.shared import Shared
from triggerdev.build.oci import archive
from triggerdev.build.oci.blobs import Blobs
from triggerdev.build.oci.model import Image, Platform
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.transport import Access
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.plan import EXECUTED, ImagePlan, PlanLayer
from triggerdev.build.progress import Event, Progress


@dataclass(frozen=True)
class Split:
    """A plan in two parts: what ends with the last executed layer, and layers of files on top of it."""

    below: tuple[PlanLayer, ...]
    above: tuple[PlanLayer, ...]

    @property
    def key(self) -> str:
        """Give the content key of the lower part: that of its last layer, which holds those below."""
        return self.below[-1].key

    @property
    def executed(self) -> list[str]:
        """Name the layers that must be executed."""
        return [layer.id for layer in self.below if layer.kind in EXECUTED]


def split(plan: ImagePlan) -> Split:
    """Split a plan behind its last executed layer."""
    last = max((number for number, layer in enumerate(plan.layers) if layer.kind in EXECUTED), default=0)
    return Split(plan.layers[: last + 1], plan.layers[last + 1 :])


@dataclass(frozen=True)
class Prefix:
    """A lower part that exists. `name` is what an engine calls it; `remote` has its blobs, too."""

    image: Image
    name: str
    cached: bool
    remote: Blobs | None = None


@dataclass
class Prefixes:
    """Finds or builds the lower parts of images."""

    engines: Engines
    store: BlobStore
    access: Access
    record: LayerRecord
    progress: Progress
    secrets: Secrets
    no_cache: bool = False
    network: str = "default"
    shared: Shared | None = None

    def get(self, plan: ImagePlan, platform: str) -> Prefix:
        """Give the lower part of a plan's image.

        Raises StepFailedError for a command that fails, BuildError for a base that cannot be had, and
        EnvironmentProblemError if an engine is needed and there is none.
        """
        parts = split(plan)
        name = f"trigger-prefix:{parts.key[:40]}"
        remote: Blobs | None = None if parts.executed else self._remote(plan.base)
        known = None if self.no_cache else self.record.prefix(parts.key, self.store)
        if known is not None:
            self.progress.tell(Event("step", parts.below[-1].id, "cached"))
            return Prefix(known, name if parts.executed else plan.base, True, remote)
        found = self.shared.lower(parts.key) if self.shared and parts.executed and not self.no_cache else None
        if found is not None:
            self.progress.tell(Event("step", parts.below[-1].id, "cached", text="in the registry"))
            self.record.add_prefix(parts.key, found, self.store, remote=False)
            return Prefix(found, name, True)
        if parts.executed:
            image = self._executed(plan, parts, name, platform)
        else:
            image, remote = self._base(plan.base, platform)
        self.record.add_prefix(parts.key, image, self.store, remote=remote is not None)
        return Prefix(image, name if parts.executed else plan.base, False, remote)

    def _remote(self, base: str) -> Repository:
        return Repository(Reference.parse(base), self.access)

    # -- executed

    def _executed(self, plan: ImagePlan, parts: Split, name: str, platform: str) -> Image:
        backend = self.engines.needed(_why(parts.executed))
        if self.no_cache or backend.diff_ids(name) is None:
            lower = replace(plan, layers=parts.below)
            self._build(backend, lower, name, platform)
        return self._saved(backend, name)

    def _build(self, backend: Backend, lower: ImagePlan, name: str, platform: str) -> None:
        secrets = self.secrets.needed({name for layer in lower.layers for name in layer.secrets})
        capabilities = self.engines.capabilities
        text = render.render(lower, secret_files=not capabilities.secret_env)
        with tempfile.TemporaryDirectory(prefix="trigger-build-") as place:
            context = Path(place)
            folder.fill(context, lower, text)
            steps, instructions = render.steps(text), render.instructions(text)
            request = BuildRequest(
                context, name, platform, steps, instructions, self.no_cache, self.network, secrets
            )
            backend.build(request, self.progress)

    def _saved(self, backend: Backend, name: str) -> Image:
        """Take an image out of an engine; layers that the store knows are not compressed again."""
        self.store.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="save-", dir=self.store.folder) as place:
            path = Path(place) / "image.tar"
            backend.save(name, path)
            return archive.read(path, self.store)

    # -- the base alone

    def _base(self, base: str, platform: str) -> tuple[Image, Repository | None]:
        backend = self.engines.any
        if backend is not None and backend.diff_ids(base) is not None and not self.no_cache:
            return self._saved(backend, base), None
        remote = self._remote(base)
        image = remote.image(remote.reference.wanted, Platform.parse(platform), self.store)
        if image is None:
            raise errors.BuildError(f"there is no base image {base}; check build.base_image")
        return image, remote


def _why(layers: Sequence[str]) -> str:
    names = ", ".join(repr(layer) for layer in layers)
    return (
        f"the layer {names} executes commands" if len(layers) == 1 else f"the layers {names} execute commands"
    )


def close(prefix: Prefix) -> None:
    """Close the connection to the base's registry, if there is one."""
    if isinstance(prefix.remote, Repository):
        prefix.remote.close()
