"""Commands of the deploy: run in the built image, with network and secrets, before its version counts.

Migrations of a database are such commands. They are no part of the image, and their output is masked.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build import tokens
from triggerdev.build.backends import programs
from triggerdev.build.backends.choosing import Engines
from triggerdev.build.deploy_plan import Planned
from triggerdev.build.deploying.secrets import Secrets
from triggerdev.build.deployments import BuiltImage
from triggerdev.build.progress import Event, Progress

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

PHASE = "release"
_SHOWN = 15


class Release:
    """The commands of one deploy, in the order of the layers that asked for them."""

    def __init__(
        self, planned: Planned, loaded: LoadedConfig, env: Mapping[str, str], environ: Mapping[str, str]
    ) -> None:
        self._planned, self._loaded, self._environ = planned, loaded, environ
        self._secrets = Secrets({}, {**loaded.environ, **env})
        for name, value in self._secrets.needed(self._names()).items():
            planned.outcome.mask.add({name: value})

    def _names(self) -> set[str]:
        return {name for each in self._planned.outcome.contributions for name in each.layer.deploy.secrets}

    def _commands(self) -> Iterator[tuple[str, str, list[str]]]:
        for each in self._planned.outcome.contributions:
            for command in each.layer.deploy.commands:
                yield each.extension, command, each.layer.deploy.secrets

    def check(self, engines: Engines, output: str | None) -> None:
        """Refuse what would only fail once the image is built: UsageError, EnvironmentProblemError."""
        first = next(self._commands(), None)
        if first is None:
            return
        why = f"extension {first[0]!r} runs commands in the built image before its version counts"
        backend = engines.needed(why)
        if output != "image":
            raise errors.UsageError(f"{why}, so the image must be in an engine: use --output image")
        if backend.program not in ("docker", "podman"):
            raise errors.UsageError(f"{why}, which {backend.program} cannot; use --builder docker, or podman")

    def run(self, image: BuiltImage, engines: Engines, progress: Progress) -> None:
        """Run the commands. Raises BuildError for one that fails; then the image loses its names."""
        program = self._program(engines)
        try:
            with progress.phase(PHASE):
                for extension, command, names in self._commands():
                    progress.tell(Event("line", extension, text=f"+ {command}"))
                    self._one(program, image.reference, extension, command, names, progress)
        except BaseException:
            for name in image.names:
                engines.needed("the image is to be removed").untag(name)
            raise

    def _program(self, engines: Engines) -> Path:
        name = engines.needed("commands are to run in the image").program
        own = self._environ.get("TRIGGER_DOCKER") if name == "docker" else None
        found = [Path(own)] if own else programs.on_path(name, self._environ)
        if not found:
            raise errors.EnvironmentProblemError(
                f"there is no program {name} on PATH, which is to run the image"
            )
        return found[0]

    def _one(
        self,
        program: Path,
        reference: str,
        extension: str,
        command: str,
        names: list[str],
        progress: Progress,
    ) -> None:
        tail: deque[str] = deque(maxlen=_SHOWN)

        def heard(line: str) -> None:
            tail.append(tokens.printable(self._planned.outcome.mask(line)))
            progress.tell(Event("line", extension, text=line))

        network = self._loaded.config.build.network
        words = [str(program), "run", "--rm", *([] if network == "default" else [f"--network={network}"])]
        for name in names:
            words += [
                "--env",
                name,
            ]  # its value comes from the environment, so that no list of processes has it
        words += ["--entrypoint", "/bin/sh", reference, "-euc", command]
        env = {**self._environ, **self._secrets.needed(names)}
        env.setdefault("PATH", os.defpath)
        status = programs.follow(words, env, heard)
        if status != 0:
            raise self._failure(extension, command, status, tail)

    def _failure(self, extension: str, command: str, status: int, tail: deque[str]) -> errors.BuildError:
        place = self._loaded.diagnostic(("build", "extensions", extension), "", at_key=True)
        said = "".join(f"\n    {line}" for line in tail)
        return errors.BuildError(
            f"a command of the deploy failed with exit code {status}, so no version was recorded: "
            f"{tokens.printable(self._planned.outcome.mask(command))}\n"
            f"asked for by [build.extensions.{extension}] at {place.file}:{place.line}"
            + (f"\nthe last it printed:{said}" if said else "")
        )
