"""A deploy, from a loaded config to a recorded version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from triggerdev.build import compared, deploy_plan, keys
from triggerdev.build.backends.choosing import Engines
from triggerdev.build.context import LogSink
from triggerdev.build.deploy_plan import Planned
from triggerdev.build.deploying import options
from triggerdev.build.deploying.options import Options
from triggerdev.build.deployments import BuiltImage, Deployment, Deployments
from triggerdev.build.oci.store import BlobStore, default_folder
from triggerdev.build.progress import Progress, Sink
from triggerdev.build.tasks import Importing
from triggerdev.build.wheels.install import NeedsBuildingError

if TYPE_CHECKING:
    from triggerdev.build.deploying.building import Build
    from triggerdev.build.deploying.releasing import Release
    from triggerdev.config import LoadedConfig


_CODE = ("source",)
"""Layers whose change alone lets the tasks be indexed on this machine."""


@dataclass(frozen=True)
class Result:
    """What a deploy came to. `built` is False if a version that is equal was there already."""

    deployment: Deployment
    built: bool
    promoted: bool
    warnings: tuple[str, ...]


def deploy(
    loaded: LoadedConfig,
    environment: str,
    env: Mapping[str, str],
    wanted: Options,
    *,
    importing: Importing | None = None,
    sink: Sink = lambda _: None,
    log: LogSink | None = None,
) -> Result:
    """Build, index and record a version of a project, and make it current.

    `env` holds the known variables of the environment; with `importing` the tasks are imported on this
    machine if only code has changed. Raises ConfigError, BuildError and
    EnvironmentProblemError; then no version is recorded.
    """
    history = Deployments(loaded.root, environment)
    with history.locked():
        one = _Deploy(loaded, environment, env, wanted, history, importing, sink, log)
        try:
            return one.run()
        finally:
            one.engines.close()


class _Deploy:
    def __init__(
        self,
        loaded: LoadedConfig,
        environment: str,
        env: Mapping[str, str],
        wanted: Options,
        history: Deployments,
        importing: Importing | None,
        sink: Sink,
        log: LogSink | None,
    ) -> None:
        self.loaded, self.environment, self.env = loaded, environment, env
        self.wanted, self.history, self.log = wanted, history, log
        self.importing = importing
        self.platform = options.platform_of(loaded, wanted)
        self.engines = Engines(wanted.builder, wanted.environ)
        self.store = BlobStore(default_folder())
        self.progress = Progress(sink)

    def run(self) -> Result:
        """Do all of it."""
        planned = self._plan()
        try:
            return self._deploy(planned)
        except NeedsBuildingError as error:
            self.store.note(self._compiled(planned), {"packages": list(error.packages)})
            return self._deploy(deploy_plan.compiled_in_image(planned, error.packages, self.loaded))

    def _plan(self) -> Planned:
        with self.progress.phase("plan"):
            planned = deploy_plan.plan_image(
                self.loaded, self.environment, self.env, platforms=[self.platform], log=self.log
            )
        self.progress.mask = planned.outcome.mask
        known = None if self.wanted.no_cache else self.store.fact(self._compiled(planned))
        if known is None:
            return planned
        return deploy_plan.compiled_in_image(planned, list(known["packages"]), self.loaded)

    def _compiled(self, planned: Planned) -> str:
        """Name what is noted when the Python dependencies turn out to need compiling."""
        return f"compiled:{planned.plan.layer('dependencies').key}.{self.platform}"

    def _deploy(self, planned: Planned) -> Result:
        key = self._key(planned)
        equal = None if self.wanted.no_cache else self.history.equal_to(key)
        output = self._output()
        if equal is not None and self._is_there(equal, output):
            promoted = self.history.promote(equal.version, datetime.now(UTC))
            return Result(equal, False, promoted, planned.warnings)
        release = self._release(planned, output)
        deployment = self._built(planned, key, output, equal, release)
        self.history.add(deployment)
        promoted = self.history.promote(deployment.version, datetime.now(UTC))
        planned.record.add_layers(planned.plan.layers)
        planned.record.write(self.loaded.root)
        return Result(deployment, True, promoted, planned.warnings)

    def _release(self, planned: Planned, output: str | None) -> Release | None:
        """Give what runs between building and recording; loaded only where an extension wants it."""
        if not any(each.layer.deploy.commands for each in planned.outcome.contributions):
            return None
        from triggerdev.build.deploying.releasing import Release

        release = Release(planned, self.loaded, self.env, self.wanted.environ)
        release.check(self.engines, output)
        return release

    def _key(self, planned: Planned) -> str:
        """Give what tells whether two versions are equal: all layers, and what the image says of itself."""
        layers = [layer.key for layer in planned.plan.layers]
        settings = repr(planned.settings)
        return keys.key({"layers": layers, "settings": settings, "platform": self.platform})

    def _output(self) -> str | None:
        """Decide what becomes of the image on this machine; None if it is pushed and no more."""
        if self.wanted.output:
            return self.wanted.output
        if self.engines.any is not None:
            return "image"
        return None if self.wanted.push else "oci-layout"

    def _is_there(self, equal: Deployment, output: str | None) -> bool:
        """Tell whether an equal version is where this deploy would put its own."""
        image = equal.image
        wanted = options.names(self.loaded, self.wanted, equal.version)
        if not set(wanted) <= set(image.names) or (self.wanted.push and not set(wanted) <= set(image.pushed)):
            return False
        if output != image.output and output is not None:
            return False
        if output == "image":
            backend = self.engines.any
            return backend is not None and backend.image_id(image.reference) == image.config_digest
        if output is not None:
            asked = options.path(self.loaded, self.wanted, self.environment, equal.version, output)
            return image.path == str(asked) and asked.exists()
        return True

    def _built(
        self,
        planned: Planned,
        key: str,
        output: str | None,
        equal: Deployment | None,
        release: Release | None,
    ) -> Deployment:
        def before_push(image: BuiltImage) -> None:
            if release is not None:
                release.run(image, self.engines, self.progress)

        # What builds is not loaded for a deploy that builds nothing; and while it is, tasks are imported.
        begun = None
        if self.importing is not None and equal is None and self._only_code_changed(planned):
            begun = self.importing.begin(self.loaded)
        return self._build(output).run(planned, key, equal, begun, before_push)

    def _only_code_changed(self, planned: Planned) -> bool:
        before = compared.current(self.history)
        if before is None or self.wanted.no_cache:
            return False
        now = {layer.id: layer.key for layer in planned.plan.layers if layer.id not in _CODE}
        return now == {name: key for name, key in before.keys.items() if name not in _CODE}

    def _build(self, output: str | None) -> Build:
        from triggerdev.build.deploying.building import Build

        return Build(
            self.loaded,
            self.environment,
            self.env,
            self.wanted,
            self.history,
            self.engines,
            self.store,
            self.progress,
            self.platform,
            output,
        )
