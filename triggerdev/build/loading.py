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
from triggerdev.build.extension import HOOKS
from triggerdev.build.secrecy import Masker
from triggerdev.config import config_error
from triggerdev.extensions import BUILT_IN, PLANNED

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig
    from triggerdev.config.model import Extension

GROUP = "triggerdev.extensions"


@dataclass(frozen=True)
class LoadedExtension:
    """An extension of the project: the table's name, what it was made from, and the object with hooks."""

    name: str
    use: str
    hooks: object


def load_extensions(loaded: LoadedConfig, mask: Masker) -> list[LoadedExtension]:
    """Make the extensions of a project, in file order; call it within `project_imports`.

    Raises ConfigError with all mistakes, each with file:line:column.
    """
    made: list[LoadedExtension] = []
    problems: list[errors.Diagnostic] = []
    for name, table in loaded.config.build.enabled_extensions().items():
        try:
            made.append(_Loading(loaded, name, table, mask).make())
        except errors.ConfigError as error:
            problems += error.diagnostics
    if problems:
        raise config_error(problems)
    return made


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
        if self.use in PLANNED:
            raise self._refusal(
                f"the extension {self.use!r} is not part of this version yet ({PLANNED[self.use]})",
                "remove the table, or set enabled = false",
            )
        if self.use in BUILT_IN:
            return self._reference(BUILT_IN[self.use])
        found = entry_points(group=GROUP, name=self.use)
        if found:
            return self._installed(next(iter(found)))
        if ":" not in self.use:
            raise self._unknown()
        return self._reference(self.use)

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
        try:
            signature = inspect.signature(target)
        except (TypeError, ValueError):
            return  # a class of C code that does not tell; calling it will
        parameters = signature.parameters.values()
        known = [
            each.name for each in parameters if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
        for name in options:
            if name not in known and not takes_any:
                near = difflib.get_close_matches(name, known, 1)
                offer = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'none'}"
                raise self._refusal(
                    f"{self.use!r} has no option {name!r}", offer, at=self._at(name), at_key=True
                )
        missing = [
            each.name
            for each in parameters
            if each.name in known and each.default is each.empty and each.name not in options
        ]
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
        except Exception as error:
            raise self._refusal(
                f"{self.use!r} refused its options: {self._why(error)}", at=self._options_path()
            ) from error
        return instance

    def _option_problem(self, item: Any) -> errors.Diagnostic:
        where = tuple(item["loc"])
        at = (*self._at(str(where[0])), *where[1:]) if where else self._options_path()
        message = str(item["msg"]).removeprefix("Value error, ")
        return self.loaded.diagnostic(at, f"option {'.'.join(map(str, where))!r}: {message}")

    def _unknown(self) -> errors.ConfigError:
        names = [*BUILT_IN, *PLANNED, *(entry.name for entry in entry_points(group=GROUP))]
        near = difflib.get_close_matches(self.use, names, 1)
        known = f"there are {', '.join(sorted(set(names) - set(PLANNED)))}"
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
