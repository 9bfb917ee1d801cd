"""From a table `[build.extensions.<name>]` to an object with hooks; every mistake is shown at its place."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from triggerdev import errors
from triggerdev.build import origins, project_imports
from triggerdev.build.extension import HOOKS, BuildExtension
from triggerdev.build.secrecy import Masker
from triggerdev.config import config_error
from triggerdev.extensions import BUILT_IN

if TYPE_CHECKING:
    from triggerdev.build.watching import Watch
    from triggerdev.config import LoadedConfig
    from triggerdev.config.model import Extension

GROUP = "triggerdev.extensions"


@dataclass(frozen=True)
class LoadedExtension:
    """An extension of the project: the table's name, what it was made from, and the object with hooks."""

    name: str
    use: str
    hooks: object


def load_extensions(loaded: LoadedConfig, mask: Masker, watch: Watch) -> list[LoadedExtension]:
    """Make the extensions of a project, in file order; call it within `project_imports`.

    Raises ConfigError with all mistakes, each with file:line:column; ExtensionError for a name that two
    installed extensions have.
    """
    made: list[LoadedExtension] = []
    problems: list[errors.Diagnostic] = []
    for name, table in loaded.config.build.enabled_extensions().items():
        watch.begin(name, "loading")
        try:
            made.append(_Loading(loaded, name, table, mask).make())
        except errors.ConfigError as error:
            problems += error.diagnostics
        finally:
            watch.end()
    if problems:
        raise config_error(problems)
    return made


def asked_for(loaded: LoadedConfig, name: str) -> str:
    """Say where the config asks for an extension."""
    place = loaded.diagnostic(("build", "extensions", name), "", at_key=True)
    return f"it is asked for by [build.extensions.{name}] at {place.file}:{place.line}"


class _Loading:
    def __init__(self, loaded: LoadedConfig, name: str, table: Extension, mask: Masker) -> None:
        self.loaded = loaded
        self.mask = mask
        self.name = name
        self.table = table
        self.use = table.use or name

    def make(self) -> LoadedExtension:
        target = self._target()
        hooks = self._instance(target)
        if not any(hasattr(hooks, hook) for hook in HOOKS):
            raise self._refusal(f"{self.use!r} has none of the hooks {', '.join(HOOKS)}")
        if self.use in BUILT_IN:
            setattr(hooks, "name", self.name)  # noqa: B010 - the object may be of any class
        return LoadedExtension(self.name, self.use, hooks)

    def _target(self) -> Any:
        """Give what `use` refers to: a built-in, an installed extension, a file's or a module's attribute."""
        if self.use in BUILT_IN:
            return self._reference(BUILT_IN[self.use])
        found = list(entry_points(group=GROUP, name=self.use))
        if found:
            self._refuse_two(found)
            return self._installed(found[0])
        if ":" not in self.use:
            raise self._unknown()
        return self._reference(self.use)

    def _refuse_two(self, found: list[EntryPoint]) -> None:
        """Refuse a name that several installed distributions give to different extensions."""
        if len({entry.value for entry in found}) > 1:
            owners = " and ".join(sorted(f"{_distribution(entry)} ({entry.value})" for entry in found))
            raise errors.ExtensionError(
                f"extension {self.name!r}: two installed extensions have the name {self.use!r}: {owners}; "
                f'say which one is meant: use = "{found[0].value}"\n{asked_for(self.loaded, self.name)}'
            )

    def _installed(self, entry: EntryPoint) -> Any:
        try:
            return entry.load()
        except Exception as error:
            raise self._refusal(
                f"cannot load the installed extension {self.use!r}: {self._why(error)}"
            ) from error

    def _reference(self, reference: str) -> Any:
        try:
            return project_imports.resolve_reference(reference, self.loaded.root)
        except errors.BuildError as error:
            raise self._refusal(str(error)) from None
        except Exception as error:
            raise self._refusal(f"cannot load {reference!r}: {self._why(error)}") from error

    def _instance(self, target: Any) -> object:
        options = self.table.arguments
        if inspect.isclass(target) or (callable(target) and not any(hasattr(target, hook) for hook in HOOKS)):
            self._check_options(target, options)
            return self._called(target, options)
        if options:
            raise self._refusal(
                f"{self.use!r} is an object and not a class, so it takes no options",
                at=self._at(next(iter(options))),
            )
        instance: object = target
        return instance

    def _check_options(self, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
        accepted = _accepted(target)
        if accepted is None:
            return
        for name in options:
            if name not in accepted:
                near = difflib.get_close_matches(name, accepted, 1)
                offer = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(accepted) or 'none'}"
                raise self._refusal(
                    f"{self.use!r} has no option {name!r}", offer, at=self._at(name), at_key=True
                )
        missing = [name for name, needed in accepted.items() if needed and name not in options]
        if missing:
            names = ", ".join(repr(name) for name in missing)
            raise self._refusal(f"{self.use!r} needs the option {names}", at=self._options_path())

    def _called(self, target: Callable[..., Any], options: Mapping[str, Any]) -> object:
        try:
            instance: object = target(**options)
        except pydantic.ValidationError as error:
            raise config_error(
                [self._option_problem(item) for item in error.errors(include_url=False)]
            ) from error
        except errors.BuildError as error:
            if self.use not in BUILT_IN:
                raise self._refusal(f"{self.use!r} refused its options: {self._why(error)}") from error
            raise self._refusal(str(error), at=self._options_path()) from None
        except Exception as error:
            raise self._refusal(
                f"{self.use!r} refused its options: {self._why(error)}", at=self._options_path()
            ) from error
        return instance

    def _option_problem(self, item: Any) -> errors.Diagnostic:
        where = tuple(item["loc"])
        at = (*self._at(str(where[0])), *where[1:]) if where else self._options_path()
        message = str(item["msg"]).removeprefix("Value error, ")
        given = item["input"]
        if isinstance(given, str | int | float) and repr(given) not in message:
            message = f"{message} (it is {given!r:.80})"
        named = f"option {'.'.join(map(str, where))!r}: " if where else ""
        return self.loaded.diagnostic(at, self.mask(f"{named}{message}"))

    def _unknown(self) -> errors.ConfigError:
        names = [*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))]
        near = difflib.get_close_matches(self.use, names, 1)
        known = f"there are {', '.join(sorted(set(names)))}"
        hint = f"did you mean {near[0]!r}?" if near else f'{known}, and use = "./file.py:name" for your own'
        at_key = self.table.use is None
        return self._refusal(f"there is no extension {self.use!r}", hint, at_key=at_key)

    def _refusal(
        self, message: str, hint: str | None = None, *, at: tuple[str | int, ...] = (), at_key: bool = False
    ) -> errors.ConfigError:
        base: tuple[str | int, ...] = ("build", "extensions", self.name)
        place = at or ((*base, "use") if self.table.use else base)
        return config_error([self.loaded.diagnostic(place, message, help=hint, at_key=at_key)])

    def _options_path(self) -> tuple[str | int, ...]:
        base = ("build", "extensions", self.name)
        return (*base, "options") if self.table.options else base

    def _at(self, option: str) -> tuple[str | int, ...]:
        """Give the path of one option, which stands in the table itself or in its `options`."""
        base = ("build", "extensions", self.name)
        return (*base, "options", option) if option in self.table.options else (*base, option)

    def _why(self, error: BaseException) -> str:
        return self.mask(origins.describe(error, Path(self.loaded.root)))


def _accepted(target: Callable[..., Any]) -> dict[str, bool] | None:
    """Give the options that a class or function takes, and whether each is needed; None if unknown."""
    if inspect.isclass(target) and target.__init__ is BuildExtension.__init__:
        model = getattr(target, "Options", None)
        fields = getattr(model, "model_fields", {})
        return {field.alias or name: field.is_required() for name, field in fields.items()}
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None  # a class of C code that does not tell; calling it will
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    named = (each for each in parameters if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD))
    return {each.name: each.default is each.empty for each in named}


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"
