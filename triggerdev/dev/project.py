"""The project that is served: its config, variables, interpreter, extensions; read again on changes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triggerdev import config, errors
from triggerdev.dev import extensions
from triggerdev.dev.render import DevOutput
from triggerdev.engine import vault
from triggerdev.engine.variables import Variables
from triggerdev.worker.interpreter import check_interpreter, find_interpreter

DATABASE_VARIABLE = "TRIGGER_DATABASE_URL"
OBJECT_STORE_VARIABLE = "TRIGGER_OBJECT_STORE_URL"
_OWN_VARIABLES = frozenset({DATABASE_VARIABLE, OBJECT_STORE_VARIABLE, vault.VARIABLE})


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the command line said. `port` None: 3030 or the next free one."""

    path: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    env_files: Sequence[Path] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Project:
    """A project as it is on disk now.

    Raises ConfigError for mistakes in its files, EnvironmentProblemError for an unusable interpreter.
    """

    def __init__(self, options: DevOptions) -> None:
        self._options = options
        self._read()
        self.root = self.loaded.root
        self.interpreter = find_interpreter(self.root)
        check_interpreter(self.interpreter)
        self.extended = extensions.DevExtensions()
        self._stored: dict[str, str] = {}

    def _read(self) -> None:
        """Read the config. The server's own database is kept out of it, and so out of the tasks' environment:
        they see the variable only if an env file has it.
        """
        options = self._options
        environ = {name: value for name, value in options.environ.items() if name not in _OWN_VARIABLES}
        self.loaded = config.load_config(
            options.path, env_name="dev", environ=environ, env_files=options.env_files
        )

    @property
    def database_url(self) -> str | None:
        """The URL of the server's database, from the environment or else from env files; None: SQLite."""
        return self._variable(DATABASE_VARIABLE)

    @property
    def object_store_url(self) -> str | None:
        """The URL of the bucket for large payloads and outputs; None: a folder beside the database."""
        return self._variable(OBJECT_STORE_VARIABLE)

    def _variable(self, name: str) -> str | None:
        given = self._options.environ.get(name, "") or self.loaded.environ.get(name, "")
        return given.strip() or None

    def reread(self) -> None:
        """Read the files again. Raises ConfigError and keeps what was read before."""
        self._read()

    async def run_extensions(self, output: DevOutput) -> None:
        """Run the build extensions for dev; what they say and what goes wrong is shown."""
        try:
            self.extended = await extensions.run(self.interpreter, self.loaded, self.loaded.environ)
        except errors.BuildError as error:
            output.error(f"Build extensions: {error}")
        for text in self.extended.warnings:
            output.warning(text)

    def worker_env(self, url: str, key: str) -> dict[str, str]:
        """Tell the environment of worker processes: what is stored is below what is set here."""
        own = {"TRIGGER_API_URL": url, "TRIGGER_SECRET_KEY": key, "TRIGGER_PROJECT_REF": self.ref}
        return {**self._stored, **self.loaded.environ, **self.extended.env, **own}

    @property
    def ref(self) -> str:
        return self.loaded.config.project

    async def take_stored(self, variables: Variables, output: DevOutput) -> None:
        """Take the variables that the engine keeps; without those, if they cannot be decrypted."""
        try:
            self._stored = {variable.name: variable.value for variable in await variables.all()}
        except errors.StorageUnavailableError:
            raise
        except errors.EnvironmentProblemError as error:
            self._stored = {}
            output.warning(f"{error} Tasks run without stored variables until then.")

    def concerns_config(self, changed: Sequence[Path]) -> bool:
        """Tell whether config, env files or extensions are among changed files."""
        own = {self.loaded.path, *self._env_paths()} | self.extended.watch
        return any(path in own for path in changed)

    def _env_paths(self) -> list[Path]:
        named = [self.root / name for name in self.loaded.config.dev.env_file]
        return [*named, *self._options.env_files]

    def watched_files(self) -> set[Path]:
        """List the single files whose changes matter, besides those that were imported."""
        extra = {path for pattern in self.loaded.config.dev.watch for path in _matches(self.root, pattern)}
        extra |= {path for path in self.extended.watch if path.is_file()}
        return {self.loaded.path, *self._env_paths(), *extra}

    def task_folders(self) -> list[Path]:
        return [self.root / folder for folder in self.loaded.config.dirs]

    def relative(self, path: Path) -> str:
        """Name a file from the project's root."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def _matches(root: Path, pattern: str) -> list[Path]:
    plain = pattern.removeprefix("./")
    if (root / plain).is_dir():
        plain = f"{plain.rstrip('/')}/**/*"
    return [path for path in root.glob(plain) if path.is_file()]
