"""Running the hooks of a project's extensions and gathering what they give."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from triggerdev import errors
from triggerdev.build import files, origins, project_imports, source
from triggerdev.build.context import BuildContext, BuildLogger, BuildManifest, LogSink
from triggerdev.build.extension import Target
from triggerdev.build.files import FileEntry
from triggerdev.build.ignore import Ignore
from triggerdev.build.layers import BuildLayer, as_layer
from triggerdev.build.loading import LoadedExtension, asked_for, load_extensions
from triggerdev.build.lock import Pin
from triggerdev.build.plan import Contribution
from triggerdev.build.secrecy import Masker
from triggerdev.build.watching import NotEndedError, Watch

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

FOLDER = ".trigger/build"
_SECONDS_IN_DEV = 50


@dataclass(frozen=True)
class EnvVariable:
    """A variable that an extension (or "config") sets for the tasks; `override`: also if it has a value."""

    name: str
    extension: str
    secret: bool
    override: bool
    value: str = field(repr=False)


@dataclass(frozen=True)
class BuildOutcome:
    """What the extensions gave, and the source that they were shown.

    `files` are those of all layers as they will be in the image; `watch` are files and folders whose changes
    make another outcome; `externals` are imports that the image provides, `pins` what its layers download.
    """

    target: Target
    environment: str
    contributions: tuple[Contribution, ...]
    env: tuple[EnvVariable, ...]
    externals: tuple[str, ...]
    source: tuple[FileEntry, ...]
    warnings: tuple[str, ...]
    watch: tuple[Path, ...]
    mask: Masker = field(repr=False)
    pins: tuple[Pin, ...] = ()

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The files that extensions add, sorted by destination."""
        groups = [(f"layer {each.layer.id}", each.files) for each in self.contributions]
        found = [entry for group in files.without_collisions(groups) for entry in group]
        return tuple(sorted(found, key=lambda entry: entry.destination))

    def variables(self, known: Mapping[str, str]) -> dict[str, str]:
        """Give the variables that tasks get beside the known ones, which win unless a variable overrides."""
        return {each.name: each.value for each in self.env if each.override or each.name not in known}


def run_extensions(
    loaded: LoadedConfig,
    target: Target,
    environment: str,
    env: Mapping[str, str],
    *,
    log: LogSink | None = None,
) -> BuildOutcome:
    """Load a project's extensions, run their hooks and find the files that they name.

    `env` holds the known variables of the environment. Hooks run in an event loop of their own, so this is to
    be called where none is running (`asyncio.to_thread` elsewhere). Raises ConfigError for extensions that
    cannot be made, ExtensionError for hooks that raise, BuildError for files and layers that cannot be used.
    """
    run = _Run(loaded, target, environment, dict(env), log)
    with project_imports.project_imports(run.root):
        try:
            return run.watch.run(lambda: asyncio.run(run.all()))
        except NotEndedError as error:
            raise run.not_ended(error) from None


class _LateError(errors.ExtensionError):
    """A hook did not end in its time."""


class _Run:
    def __init__(
        self,
        loaded: LoadedConfig,
        target: Target,
        environment: str,
        env: dict[str, str],
        log: LogSink | None,
    ) -> None:
        self.loaded = loaded
        self.root = Path(os.path.normpath(loaded.root))
        self.target: Target = target
        self.environment = environment
        self.env = env
        self.warnings: list[str] = []
        self.mask = Masker()
        self.mask.add_variables({**loaded.environ, **env})
        self.watch = Watch(_limit(loaded, target), self.root)
        self._log = log
        self._contexts: dict[str, BuildContext] = {}

    async def all(self) -> BuildOutcome:
        """Run everything, in file order of the extensions, hook by hook."""
        extensions = load_extensions(self.loaded, self.mask, self.watch)
        ignore = Ignore(self.root, self.loaded.config.build.exclude)
        externals = await self._externals(extensions)
        for extension in extensions:
            await self._call(extension, "on_build_start", self._context(extension))
        minify = self.loaded.config.build.minify and self.target == "deploy"
        gathered = source.collect_source(self.root, self.loaded.path, ignore, minify=minify)
        for extension in extensions:
            manifest = self._manifest(gathered, externals, extensions)
            await self._call(extension, "on_build_complete", self._context(extension), manifest)
        contributions, watch = self._resolve(extensions, ignore)
        return BuildOutcome(
            self.target,
            self.environment,
            contributions,
            self._variables(contributions),
            externals,
            gathered,
            tuple(self.warnings),
            watch,
            self.mask,
            tuple(pin for each in extensions for pin in self._context(each).pins),
        )

    async def _externals(self, extensions: Sequence[LoadedExtension]) -> tuple[str, ...]:
        names = list(self.loaded.config.build.external)
        for extension in extensions:
            given = await self._call(extension, "externals_for_target", self.target) or []
            if not isinstance(given, list | tuple | set) or not all(isinstance(name, str) for name in given):
                raise errors.ExtensionError(
                    f"extension {extension.name!r}: externals_for_target must give a list of names, not "
                    f"{given!r:.80}\n{self._place(extension.name)}"
                )
            names += sorted(given) if isinstance(given, set) else given
        return tuple(dict.fromkeys(names))

    async def _call(self, extension: LoadedExtension, hook: str, *arguments: Any) -> Any:
        function: Callable[..., Any] | None = getattr(extension.hooks, hook, None)
        if function is None:
            return None
        started = time.perf_counter()
        self.watch.begin(extension.name, hook)
        try:
            result = function(*arguments)
            if inspect.isawaitable(result):
                result = await self._awaited(result, extension, hook)
        except _LateError:
            raise
        except (Exception, SystemExit) as error:
            raise self._failure(extension, hook, error) from error
        finally:
            self.watch.end()
        took = (time.perf_counter() - started) * 1000
        self.log("debug", extension.name, f"{hook} took {took:.1f} ms")
        return result

    async def _awaited(self, value: Awaitable[Any], extension: LoadedExtension, hook: str) -> Any:
        try:
            async with asyncio.timeout(self.watch.limit) as clock:
                return await value
        except TimeoutError as error:
            if not clock.expired():
                raise  # of the hook itself
            cause = error.__cause__ or error.__context__ or error  # before Python 3.11.4 it has no cause
            where = origins.user_line(cause, self.root)
            raise self._late(extension.name, hook, where) from None

    def not_ended(self, error: NotEndedError) -> errors.ExtensionError:
        """Make the error of code that neither ended nor could be cancelled."""
        return self._late(error.part.extension, error.part.what, error.where)

    def _late(self, name: str, what: str, where: str | None) -> errors.ExtensionError:
        at = f" (it is at {where})" if where else ""
        return _LateError(
            f"extension {name!r}: {what} did not end within {self.watch.limit:g} s{at}; build.hook_timeout "
            f"says how long it may take\n{self._place(name)}"
        )

    def _failure(self, extension: LoadedExtension, hook: str, error: BaseException) -> errors.ExtensionError:
        why = self.mask(origins.describe(error, self.root))
        return errors.ExtensionError(
            f"extension {extension.name!r}: {hook} failed: {why}\n{self._place(extension.name)}"
        )

    def _place(self, name: str) -> str:
        return asked_for(self.loaded, name)

    def _context(self, extension: LoadedExtension) -> BuildContext:
        known = self._contexts.get(extension.name)
        if known is None:
            known = self._contexts[extension.name] = BuildContext(
                self.target,
                self.loaded.config,
                self.root,
                self.environment,
                BuildLogger(extension.name, self.log),
                MappingProxyType(self.env),
            )
        return known

    def _manifest(
        self,
        gathered: Sequence[FileEntry],
        externals: tuple[str, ...],
        extensions: Sequence[LoadedExtension],
    ) -> BuildManifest:
        config = self.loaded.config
        return BuildManifest(
            target=self.target,
            environment=self.environment,
            runtime=config.runtime,
            project=config.project,
            dirs=tuple(config.dirs),
            files=tuple(entry.source for entry in gathered),
            externals=externals,
            layers=tuple(layer for each in extensions for layer in self._context(each).layers),
            output_path=f"{FOLDER}/{self.environment}",
        )

    def _resolve(
        self, extensions: Sequence[LoadedExtension], ignore: Ignore
    ) -> tuple[tuple[Contribution, ...], tuple[Path, ...]]:
        contributions: list[Contribution] = []
        watch: dict[Path, None] = {}
        for extension in extensions:
            for layer in self._layers(extension):
                label = f"extension {extension.name!r}, layer {layer.id!r}"
                found = files.resolve(layer.files, self.root, ignore, label)
                for warning in found.warnings:
                    self.log("warn", extension.name, warning)
                watch.update(dict.fromkeys(found.watch))
                contributions.append(Contribution(extension.name, layer, found.files))
        return tuple(contributions), tuple(watch)

    def _layers(self, extension: LoadedExtension) -> list[BuildLayer]:
        """Give an extension's layers, read once more: they were in its hands since they were added."""
        try:
            return [as_layer(each, again=True) for each in self._context(extension).layers]
        except errors.BuildError as error:
            raise errors.ExtensionError(
                f"extension {extension.name!r}: {error}\n{self._place(extension.name)}"
            ) from None

    def _variables(self, contributions: Sequence[Contribution]) -> tuple[EnvVariable, ...]:
        found = {
            name: EnvVariable(name, "config", False, False, value)
            for name, value in self.loaded.config.deploy.env.items()
        }
        for each in contributions:
            deploy = each.layer.deploy
            self.mask.add(deploy.secret_env)
            self.mask.add_variables(deploy.env)
            for values, secret in ((deploy.env, False), (deploy.secret_env, True)):
                for name, value in values.items():
                    new = EnvVariable(name, each.extension, secret, deploy.override, value)
                    self._note_conflict(found.get(name), new)
                    found[name] = new
        return tuple(found[name] for name in sorted(found))

    def _note_conflict(self, old: EnvVariable | None, new: EnvVariable) -> None:
        if old is not None and old.value != new.value:
            text = f"{new.name} is set by {old.extension} and by {new.extension}; the last one counts"
            self.log("warn", new.extension, text)

    def log(self, level: str, extension: str, text: str) -> None:
        """Pass a line on, masked; warnings are kept, too."""
        text = self.mask(text)
        if level == "warn":
            self.warnings.append(f"{extension}: {text}" if not text.startswith("extension ") else text)
        if self._log is not None:
            self._log(level, extension, text)


def _limit(loaded: LoadedConfig, target: Target) -> float:
    """Give the seconds that one hook may take; in dev less than what all of them have."""
    return min(loaded.config.build.hook_timeout, _SECONDS_IN_DEV if target == "dev" else math.inf)
