"""What the hooks of an extension are given: the context of the build, its logger, the manifest."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from triggerdev.build.layers import BuildLayer, as_layer
from triggerdev.build.lock import Pin

if TYPE_CHECKING:
    from triggerdev.build.extension import Target
    from triggerdev.config.model import TriggerConfig

LogSink = Callable[[str, str, str], None]
"""Takes level ("debug", "info", "warn"), the extension's name and the text."""


@dataclass(frozen=True)
class BuildManifest:
    """What a build is made of, as far as it is known when the project's files have been gathered.

    `files` are the project's source files, relative and sorted; `externals` the imports that the image
    provides; `layers` those of the hooks that have run; `output_path` the build folder, in the project.
    """

    target: Target
    environment: str
    runtime: str
    project: str
    dirs: tuple[str, ...]
    files: tuple[str, ...]
    externals: tuple[str, ...]
    layers: tuple[BuildLayer, ...]
    output_path: str


class BuildSpinner:
    """A step that takes a while; also a context manager, which stops it."""

    def __init__(self, logger: BuildLogger, text: str) -> None:
        self._logger = logger
        self._text = text

    def message(self, text: str) -> None:
        """Say what the step is doing now."""
        self._text = text
        self._logger.info(text)

    def stop(self, text: str | None = None, code: int = 0) -> None:
        """End the step; a code other than 0 makes the text a warning."""
        done = text or f"{self._text}: done"
        (self._logger.warn if code else self._logger.info)(done)

    def __enter__(self) -> BuildSpinner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(f"{self._text}: {'failed' if error else 'done'}", 1 if error else 0)


class BuildLogger:
    """Log lines of one extension; secret values that the build knows are masked on the way out."""

    def __init__(self, extension: str, sink: LogSink) -> None:
        self._extension = extension
        self._sink = sink

    def debug(self, *parts: object) -> None:
        """Say something for `--log-level debug`."""
        self._write("debug", parts)

    def info(self, *parts: object) -> None:
        """Say what is being done."""
        self._write("info", parts)

    log = info

    def warn(self, *parts: object) -> None:
        """Say what may be wrong; warnings become part of the plan."""
        self._write("warn", parts)

    warning = warn

    def progress(self, *parts: object) -> None:
        """Say how far a step is."""
        self._write("info", parts)

    def spinner(self, text: str) -> BuildSpinner:
        """Begin a step that takes a while."""
        self.info(text)
        return BuildSpinner(self, text)

    def _write(self, level: str, parts: tuple[object, ...]) -> None:
        self._sink(level, self._extension, " ".join(str(part) for part in parts))


@dataclass
class BuildContext:
    """The build as a hook sees it.

    `env` holds the variables that are known of the environment, `working_dir` is the project's folder.
    """

    target: Target
    config: TriggerConfig
    working_dir: Path
    environment: str
    logger: BuildLogger
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    layers: list[BuildLayer] = field(default_factory=list, repr=False)
    pins: list[Pin] = field(default_factory=list, repr=False)

    def add_layer(self, layer: BuildLayer | Mapping[str, Any]) -> None:
        """Add a layer to the image; raises BuildError at once if a field of it cannot be used."""
        self.layers.append(as_layer(layer))

    def pin(self, name: str, version: str, sha256: Mapping[str, str]) -> None:
        """Say what a layer downloads and checks, so that `trigger.lock` can hold it.

        `sha256` has an entry for each architecture, such as "amd64". Raises ValueError for other things.
        """
        self.pins.append(Pin.of(name, version, sha256))

    def register_plugin(self, plugin: object, **options: object) -> None:
        """Register a plugin of the bundler (Node runtimes); Python projects have no bundler."""
        self.logger.warn("register_plugin has no effect: Python projects have no bundler")

    def resolve_path(self, package: str) -> Path | None:
        """Find the file or folder that an import name stands for; None if nothing provides it here."""
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
        return Path(spec.origin) if spec.has_location and spec.origin else None
