"""Building a version: lower part, layers of files, index, output, push."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build import provenance, registry_access, sbom, tasks
from triggerdev.build.backends.choosing import Engines
from triggerdev.build.backends.protocol import Backend, StepFailedError
from triggerdev.build.deploy_plan import Planned
from triggerdev.build.deploying import assembling, indexing, options, outputs, prefix, trouble
from triggerdev.build.deploying.assembling import FileLayers
from triggerdev.build.deploying.indexing import Index
from triggerdev.build.deploying.options import Options
from triggerdev.build.deploying.outputs import Pusher
from triggerdev.build.deploying.prefix import Prefix, Prefixes
from triggerdev.build.deploying.secrets import Secrets
from triggerdev.build.deploying.shared import Shared
from triggerdev.build.deployments import BuiltImage, Deployment, Deployments, Layer
from triggerdev.build.oci.blobs import Blobs
from triggerdev.build.oci.image import Added
from triggerdev.build.oci.model import Image
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.plan import PlanLayer
from triggerdev.build.progress import Progress
from triggerdev.build.wheels.layer import key_of as wheel_key
from triggerdev.protocol import Manifest

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig


@dataclass
class Build:
    """One build of a planned version; `output` is None if the image is pushed and no more."""

    loaded: LoadedConfig
    environment: str
    env: Mapping[str, str] = field(repr=False)
    wanted: Options
    history: Deployments
    engines: Engines
    store: BlobStore
    progress: Progress
    platform: str
    output: str | None

    def __post_init__(self) -> None:
        self.access = registry_access.access(self.loaded)
        self._shared = self._sharing()
        self._started = datetime.now(UTC)
        self._scraps: list[tuple[Backend, str]] = []

    def run(
        self,
        planned: Planned,
        key: str,
        equal: Deployment | None,
        begun: Future[Manifest] | None,
        before_push: Callable[[BuiltImage], None],
    ) -> Deployment:
        """Build it. A version that is `equal` but not where it is wanted keeps its number.

        `begun` is the import of the tasks on this machine, where that is enough; what `before_push` raises
        leaves the image on this machine alone. Raises BuildError,
        EnvironmentProblemError and, for packages without wheels, NeedsBuildingError.
        """
        secrets = self._secrets(planned)
        files = FileLayers(
            self.store,
            self.progress,
            self.platform,
            secrets,
            self.loaded.environ,
            self.wanted.no_cache,
            self._shared,
        )
        above = prefix.split(planned.plan).above
        secrets.needed({name for layer in above if not files.known(layer) for name in layer.secrets})
        lower = self._lower(planned, secrets)
        if not lower.cached:
            equal = None  # what was executed anew may be something else
        version = equal.version if equal else self.history.next_version(datetime.now(UTC))
        names = options.names(self.loaded, self.wanted, version)
        blobs = outputs.places(self.store, lower.remote)
        try:
            with self.progress.phase("layers"):
                added = self._layers(files, above, lower, blobs)
            index = _known(equal) if equal else self._index(planned, lower, added, begun)
            image = assembling.assemble(lower.image, added, planned.settings, index.hash)
            path = self._store(image, blobs, lower, version, names)
            built = _described(image, added, self.output or "registry", self.platform, names, path)
            if self.output == "image" and self.engines.any is not None:
                built = replace(built, program=self.engines.any.program)
            deployment = self._deployment(planned, version, key, built, index)
            before_push(built)
            pusher = Pusher(self.store, blobs, self.access, planned.plan.base, len(lower.image.layers))
            provided = self._provided(deployment, planned, image, pusher)
            self._share(planned, lower, added)
            return provided
        finally:
            prefix.close(lower)
            if self._shared is not None:
                self._shared.close()
            for backend, name in self._scraps:
                backend.untag(name)

    def _layers(
        self, files: FileLayers, above: tuple[PlanLayer, ...], lower: Prefix, blobs: Blobs
    ) -> list[Added]:
        """Give the layers of files; the bill of materials comes before the last, which is the code."""
        added = files.make(above, lower.image, blobs)
        below = [*lower.image.layers, *(each.layer for each in added)]
        content = sbom.make(self.loaded.config.project, below, blobs, self.store)
        return [*added[:-1], files.materials(content), *added[-1:]]

    def _deployment(
        self, planned: Planned, version: str, key: str, built: BuiltImage, index: Index
    ) -> Deployment:
        return Deployment(
            version,
            self.environment,
            _iso(datetime.now(UTC)),
            key,
            built,
            {layer.id: layer.key for layer in planned.plan.layers},
            index.tasks,
            index.hash,
            index.place,
            variables=sorted(each.name for each in planned.outcome.env),
        )

    def _sharing(self) -> Shared | None:
        """Give what shares layers with other machines, if this deploy pushes."""
        if not self.wanted.push or not self.loaded.config.deploy.share_layers:
            return None
        first = Reference.parse(options.names(self.loaded, self.wanted, "0")[0])
        return Shared(first, self.access, self.store, self.platform, self.progress)

    def _share(self, planned: Planned, lower: Prefix, added: list[Added]) -> None:
        """Leave in the registry what takes long to make: executed layers, Python dependencies."""
        if self._shared is None:
            return
        parts = prefix.split(planned.plan)
        if parts.executed:
            self._shared.add_lower(parts.key, lower.image)
        wheels = {wheel_key(layer, self.platform) for layer in parts.above if layer.kind == "wheels"}
        for each in added:
            if each.layer.key in wheels:
                self._shared.add_layer(each.layer)

    def _provided(self, deployment: Deployment, planned: Planned, image: Image, pusher: Pusher) -> Deployment:
        """Push a version, if that is wanted, with where it comes from; give it with all that took time."""
        project = self.loaded.config.project
        came = provenance.statement(deployment, planned.plan, project, self.loaded.root, _iso(self._started))
        self.history.add_provenance(deployment.version, came)
        names = list(deployment.image.names) if self.wanted.push else []
        if names:
            with self.progress.phase("push", ", ".join(names)):
                pusher.push(image, names, came)
        seconds = {name: round(took, 3) for name, took in self.progress.seconds.items()}
        pushed = replace(deployment.image, pushed=tuple(names))
        return replace(deployment, image=pushed, seconds=seconds)

    def _secrets(self, planned: Planned) -> Secrets:
        given: dict[str, str | None] = {}
        for each in planned.outcome.contributions:
            given |= each.layer.build.secrets
        environ = {**self.loaded.environ, **self.env}
        names = {name for layer in planned.plan.layers for name in layer.secrets}
        planned.outcome.mask.add({name: given.get(name) or environ.get(name) or "" for name in names})
        return Secrets(given, environ)

    def _lower(self, planned: Planned, secrets: Secrets) -> Prefix:
        prefixes = Prefixes(self.engines, self.store, self.access, planned.record, self.progress, secrets)
        prefixes.no_cache, prefixes.network = self.wanted.no_cache, self.loaded.config.build.network
        prefixes.shared = self._shared
        with self.progress.phase("base", planned.plan.base):
            try:
                return prefixes.get(planned.plan, self.platform)
            except StepFailedError as failure:
                raise trouble.step_failed(failure, planned.plan, self.loaded) from None

    def _index(
        self, planned: Planned, lower: Prefix, added: list[Added], begun: Future[Manifest] | None
    ) -> Index:
        """Index the tasks: what has begun here counts if it succeeds, else it is done in the image."""
        with self.progress.phase("index"):
            backend = self.engines.any
            if begun is not None:
                if self.wanted.push:
                    import httpcore  # noqa: F401 - loaded while another process imports the tasks
                    import httpx  # noqa: F401
                try:
                    return indexing.of_host(begun.result())
                except errors.TriggerError:
                    if backend is None:
                        raise
                    # This machine may lack what the image has: the image decides.
            if backend is None:
                return indexing.of_host(tasks.index(self.loaded))
            image = assembling.assemble(lower.image, added, planned.settings)
            name = f"trigger-index:{image.config_descriptor.digest.removeprefix('sha256:')[:40]}"
            self._scraps.append((backend, name))
            self._load(backend, image, outputs.places(self.store, lower.remote), [name], lower)
            return indexing.in_image(backend, name, self.loaded)

    # -- where it goes

    def _store(
        self, image: Image, blobs: Blobs, lower: Prefix, version: str, names: list[str]
    ) -> Path | None:
        if self.output is None:
            return None
        with self.progress.phase("store", self.output):
            if self.output == "image":
                backend = self.engines.needed("the image is to be in a container engine (--output image)")
                self._load(backend, image, blobs, names, lower)
                return None
            path = options.path(self.loaded, self.wanted, self.environment, version, self.output)
            write = outputs.write_layout if self.output == "oci-layout" else outputs.write_tar
            write(path, image, blobs, names[0])
            return path

    def _load(self, backend: Backend, image: Image, blobs: Blobs, names: list[str], lower: Prefix) -> None:
        scraps = [name for _, name in self._scraps]
        known = [lower.name, *scraps, *(each.image.reference for each in self.history.all()[:3])]
        outputs.load(backend, image, blobs, names, known)


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _known(equal: Deployment) -> Index:
    """Give the index of a version that is made of the same."""
    return Index(equal.tasks, equal.manifest_hash, "image" if equal.indexed == "image" else "host")


def _described(
    image: Image, added: list[Added], output: str, platform: str, names: list[str], path: Path | None
) -> BuiltImage:
    key_of = {each.layer.diff_id: each.layer.key for each in added}
    layers = tuple(
        Layer(key_of.get(each.diff_id, ""), each.diff_id, each.blob.digest, each.blob.size)
        for each in image.layers
    )
    return BuiltImage(
        names[0],
        output,
        image.descriptor.digest,
        image.config_descriptor.digest,
        platform,
        layers,
        str(path) if path else None,
        names=tuple(names),
    )
