"""Find, read, merge and validate `trigger.config.toml`, reporting all of its mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from triggerdev.config import document, envfiles, layers, names, rendering
from triggerdev.config.document import Node
from triggerdev.config.positions import KeyPath
from triggerdev.config.source import Position, Source, shown_path
from triggerdev.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from triggerdev.config.model import TriggerConfig

FILE_NAME = "trigger.config.toml"
PROJECT_VARIABLE = "TRIGGER_PROJECT_REF"

_VCS_FOLDERS = (".git", ".hg", ".jj", ".svn")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an effective value came from; `where` is file:line, and for a variable its name, too."""

    kind: Literal["file", "env override", "variable", "default"]
    where: str


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration for one environment.

    `root` is the project's folder, `environ` the variables of the env files below the real environment, and
    `origins` tells for each dotted key where its value came from. `environments` have tables of their own.
    """

    config: TriggerConfig
    root: Path
    path: Path
    env_name: str
    origins: Mapping[str, Origin]
    environ: Mapping[str, str] = field(repr=False)
    _source: Source = field(repr=False)
    _tree: Node = field(repr=False)
    environments: tuple[str, ...] = ()

    def position(self, path: KeyPath) -> Position:
        """Return where the value at a path was written; of what is nearest around it for a default."""
        return self._source.position(self._tree.find(path)[0].place)

    def written_as(self, path: KeyPath) -> str:
        """Return the dotted key of what is written for a path: "hooks.on_start" for its only item, too."""
        return names.dotted(path[: self._tree.find(path)[1]])

    def diagnostic(
        self, path: KeyPath, message: str, *, help: str | None = None, at_key: bool = False
    ) -> Diagnostic:
        """Build an error that points at the value or key at a path, say ("build", "extensions", "x").

        Raise it, with others, as `config_error([...])`.
        """
        from triggerdev.config.validation import origin_note

        node, depth = self._tree.find(path)
        around = depth < len(path) and isinstance(node.value, dict)
        span = node.key if at_key or around else node.place
        return self._source.diagnostic(span or node.place, message + origin_note(node), hint=help)


def find_config(start: Path | None) -> Path:
    """Return the path of the configuration file: `start` itself if it is a file, else found by walking up.

    The walk ends at the root of the repository or of the file system. ConfigError says where it looked.
    """
    first = (start or Path.cwd()).absolute()
    _check_name(first)
    if first.is_file():
        return first
    if not first.is_dir():
        raise ConfigError(f"{first} does not exist")
    looked: list[Path] = []
    for folder in (first, *first.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
        looked.append(folder)
        if any((folder / name).exists() for name in _VCS_FOLDERS):
            break
    folders = "".join(f"\n  {folder}" for folder in looked)
    raise ConfigError(f"there is no {FILE_NAME} here; looked in{folders}\nhelp: `trigger init` creates one")


def _check_name(path: Path) -> None:
    """Refuse a path that is no text: neither messages nor the worker protocol could name it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise ConfigError(
            f"the path {shown} is not valid UTF-8 here. Rename the folder, or use a UTF-8 locale "
            "(LC_ALL=C.UTF-8)."
        ) from error


def load_config(
    path: Path | None,
    *,
    env_name: str = "dev",
    environ: Mapping[str, str],
    env_files: Sequence[Path] = (),
) -> LoadedConfig:
    """Load the configuration for an environment.

    `path` is the file, a folder from which to look upwards, or None for the working folder. Variables in
    strings come from `environ` and, below it, from env files: those of `dev.env_file`, then `env_files`.
    Raises ConfigError with every mistake of the file and of the env files.
    """
    file = find_config(path)
    source, written = document.read_document(file)
    return _Loader(file, source, env_name).load(written, environ, env_files)


class _Loader:
    def __init__(self, file: Path, source: Source, env_name: str) -> None:
        self.file = file
        self.source = source
        self.env_name = env_name
        self.problems: list[Diagnostic] = []

    def load(self, written: Node, environ: Mapping[str, str], env_files: Sequence[Path]) -> LoadedConfig:
        from triggerdev.config import validation

        base, overrides = self._spelled(written)
        environments = tuple(overrides)
        override = overrides.pop(self.env_name, None)
        tree = base if override is None else layers.merge(base, override, self.env_name)
        known = self._variables(tree, environ, env_files)
        tree = self._filled(tree, known)
        config, found = validation.validate(tree, self.source)
        unresolved = {problem.line for problem in self.problems}
        self.problems += [
            one.diagnostic for one in found if not (one.node.variables and one.diagnostic.line in unresolved)
        ]
        for name, table in overrides.items():
            self._check_other_environment(base, table, name)
        if config is None or self.problems:
            raise rendering.config_error(self.problems)
        return LoadedConfig(
            config,
            self.file.parent,
            self.file,
            self.env_name,
            self._origins(config, tree),
            known,
            self.source,
            tree,
            environments,
        )

    def _spelled(self, written: Node) -> tuple[Node, dict[str, Node]]:
        """Separate the override tables from the rest, all keys in the model's spelling."""
        from triggerdev.config.spelling import Speller

        speller = Speller(self.source)
        env = written.value.pop("env", None)
        speller.config(written)
        overrides: dict[str, Node] = {}
        if env is not None and not isinstance(env.value, dict):
            self._report(env, "expected tables such as [env.prod]")
        elif env is not None:
            overrides = {name: node for name, node in env.value.items() if self._is_table(name, node)}
        for node in overrides.values():
            speller.config(node)
        self.problems += speller.problems
        return written, overrides

    def _is_table(self, name: str, node: Node) -> bool:
        if isinstance(node.value, dict):
            return True
        self._report(node, f"expected a table of overrides: [env.{names.dotted((name,))}]")
        return False

    def _variables(self, tree: Node, environ: Mapping[str, str], env_files: Sequence[Path]) -> dict[str, str]:
        configured = _configured_env_files(tree)
        files = [*configured, *(file.absolute() for file in env_files)]
        try:
            known, problems = envfiles.read_env_files(self.file.parent, files, environ)
        except envfiles.EnvFileError as error:
            node, depth = tree.find(("dev", "env_file"))
            if depth < 2 or error.path not in [self.file.parent / file for file in configured]:
                raise
            self._report(node, str(error))
            return dict(environ)
        self.problems += problems
        return known

    def _filled(self, tree: Node, known: Mapping[str, str]) -> Node:
        interpolator = layers.Interpolator(self.source, known)
        filled = interpolator.fill(tree)
        self.problems += interpolator.problems
        if known.get(PROJECT_VARIABLE):
            old = filled.value.get("project", Node(None))
            project = Node(known[PROJECT_VARIABLE], old.key, old.span, None, (PROJECT_VARIABLE,))
            filled.value["project"] = project
        return filled

    def _check_other_environment(self, base: Node, table: Node, name: str) -> None:
        """Report what is wrong in another environment's own table, as far as no variable is involved."""
        from triggerdev.config import validation

        interpolator = layers.Interpolator(self.source, None)
        tree = interpolator.fill(layers.merge(base, table, name))
        found = validation.validate(tree, self.source)[1]
        self.problems += [one.diagnostic for one in found if one.node.env == name and not one.node.variables]

    def _report(self, node: Node, message: str) -> None:
        self.problems.append(self.source.diagnostic(node.place, message))

    def _origins(self, config: TriggerConfig, tree: Node) -> dict[str, Origin]:
        paths = leaf_paths(config.model_dump(mode="python"))
        return {names.dotted(path): self._origin(tree, path) for path in paths}

    def _origin(self, tree: Node, path: KeyPath) -> Origin:
        node, depth = tree.find(path)
        # What one value stands for ("true" for a whole table) is written where that value is.
        if depth < len(path) and (isinstance(node.value, dict) or depth == 0):
            return Origin("default", "")
        line = f"{shown_path(self.file)}:{self.source.position(node.place).line}"
        variables = [name for below in node.walk() for name in below.variables]
        if variables:
            return Origin("variable", f"{', '.join(dict.fromkeys(variables))} at {line}")
        envs = {below.env for below in node.walk()} - {None}
        if envs:
            return Origin("env override", f"[env.{names.dotted((self.env_name,))}] at {line}")
        return Origin("file", line)


def _configured_env_files(tree: Node) -> list[Path]:
    """Return `dev.env_file` if it is there and usable; what is wrong with it, validation reports."""
    node, depth = tree.find(("dev", "env_file"))
    value: Any = node.plain() if depth == 2 else None
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        value = envfiles.DEFAULT_FILES
    return [Path(item) for item in value]


def leaf_paths(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Return the path of everything in nested tables that is no table; an empty table counts as a value."""
    if not isinstance(value, dict) or not value:
        return [path]
    return [leaf for key, item in value.items() for leaf in leaf_paths(item, (*path, key))]
