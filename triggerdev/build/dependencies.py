"""What a project's Python dependencies are: uv.lock, pyproject.toml, requirements.txt, a list, or none."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from triggerdev import errors
from triggerdev.build import files, tokens
from triggerdev.build.files import FileEntry

FOLDER = "/run/trigger/dependencies"
OURS = "triggerdev"

_OPTION = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?=[^\s=-]))(\S+)")
_LOCAL = re.compile(r"(-e|--editable)\b|\.{1,2}/|file:")


@dataclass(frozen=True)
class Dependencies:
    """The source of a project's dependencies.

    `kind` is "uv.lock", "pyproject.toml", "requirements.txt", "config" or "none"; `inputs` are files that the
    installation reads and the image does not keep; `requirements` is for people; `names` are the normalised
    names of the distributions, all of them when `complete`, else without what they depend on themselves.
    `source_only` are those known to have no wheels, so that they are compiled in the image.
    """

    kind: str
    inputs: tuple[FileEntry, ...] = ()
    requirements: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    source_only: tuple[str, ...] = ()
    complete: bool = False
    requires_python: str | None = None


def find(root: Path, listed: Sequence[str]) -> Dependencies:
    """Find a project's dependencies; `listed` are those of the config.

    Raises BuildError for files that cannot be read and for dependencies that an image cannot get.
    """
    project = _project_table(root)
    if (root / "uv.lock").is_file():
        return _from_lock(root, project)
    if project is not None:
        return _from_pyproject(project)
    if (root / "requirements.txt").is_file():
        return _from_requirements(root)
    if listed:
        return _from_list("config", listed, "build.dependencies")
    return Dependencies("none")


def _project_table(root: Path) -> dict[str, Any] | None:
    path = root / "pyproject.toml"
    if not path.is_file():
        return None
    project = _toml(path).get("project")
    return project if isinstance(project, dict) else None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text("utf-8"))
    except (tomli.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise errors.BuildError(f"cannot read {path.name}: {error}") from None


def _from_lock(root: Path, project: dict[str, Any] | None) -> Dependencies:
    if project is None:
        raise errors.BuildError("uv.lock needs a pyproject.toml with a [project] table beside it")
    packages = _toml(root / "uv.lock").get("package", [])
    if not isinstance(packages, list) or not all(
        isinstance(each, dict) and "name" in each for each in packages
    ):
        raise errors.BuildError("uv.lock has no list of packages; write it anew with `uv lock`")
    foreign = [package for package in packages if not _is_own(package)]
    for package in foreign:
        local = next(
            (key for key in ("editable", "directory", "path") if key in package.get("source", {})), None
        )
        if local and package["name"] != OURS:
            raise errors.BuildError(
                f"uv.lock takes {package['name']!r} from {package['source'][local]!r}, which is no part "
                "of the image; publish it, or move its code into the project"
            )
    entries = [files.read(root / name, f"{FOLDER}/{name}", name) for name in ("pyproject.toml", "uv.lock")]
    pins = sorted(f"{each['name']}=={each['version']}" for each in foreign if "version" in each)
    names = frozenset(tokens.normalise_distribution(each["name"]) for each in foreign)
    without = tuple(
        sorted(each["name"] for each in foreign if not each.get("wheels") and _is_distributed(each))
    )
    return Dependencies(
        "uv.lock", tuple(entries), tuple(pins), names, without, True, _requires_python(project)
    )


def _is_own(package: dict[str, Any]) -> bool:
    source = package.get("source", {})
    return isinstance(source, dict) and "." in (source.get("editable"), source.get("virtual"))


def _is_distributed(package: dict[str, Any]) -> bool:
    """Tell whether a package is there to be installed: not this one, and no group of dependencies only."""
    return package["name"] != OURS and "virtual" not in package.get("source", {})


def _from_pyproject(project: dict[str, Any]) -> Dependencies:
    if "dependencies" in project.get("dynamic", []):
        raise errors.BuildError(
            "the dependencies of pyproject.toml are dynamic, so they are only known to its build backend; "
            "write them into [project], or add a uv.lock"
        )
    listed = project.get("dependencies", [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise errors.BuildError("project.dependencies of pyproject.toml must be a list of requirements")
    found = _from_list("pyproject.toml", listed, "project.dependencies of pyproject.toml")
    return Dependencies(
        found.kind, found.inputs, found.requirements, found.names, requires_python=_requires_python(project)
    )


def _requires_python(project: dict[str, Any]) -> str | None:
    wanted = project.get("requires-python")
    return wanted if isinstance(wanted, str) else None


def _from_list(kind: str, listed: Sequence[str], where: str) -> Dependencies:
    for item in listed:
        if not tokens.is_requirement(item.strip()):
            raise errors.BuildError(
                f"{where}: {item!r} is no requirement; write name, name>=1.2 or name==1.2"
            )
    kept = sorted({item.strip() for item in listed if tokens.requirement_name(item) != OURS})
    return Dependencies(
        kind, (requirements_file("requirements.txt", kept, where),), tuple(kept), _names(kept)
    )


def requirements_file(name: str, requirements: Sequence[str], source: str) -> FileEntry:
    """Make a requirements file that only the installation reads."""
    text = "".join(f"{requirement}\n" for requirement in requirements)
    return files.generated(f"{FOLDER}/{name}", text.encode(), source)


def _names(requirements: Sequence[str]) -> frozenset[str]:
    return frozenset(tokens.requirement_name(requirement) for requirement in requirements)


def _from_requirements(root: Path) -> Dependencies:
    texts: dict[str, str] = {}
    _gather(root, "requirements.txt", texts, "requirements.txt")
    lines = [line for text in texts.values() for line in _logical_lines(text)]
    pins = sorted({line for line in lines if tokens.is_requirement(line)})
    entries = tuple(files.generated(f"{FOLDER}/{name}", texts[name].encode(), name) for name in sorted(texts))
    shown = tuple(re.split(r"\s--hash", line)[0] for line in pins)
    return Dependencies("requirements.txt", entries, shown, _names(pins))


def gather(root: Path, name: str, wanted_by: str) -> list[str]:
    """Name a requirements file and those that it includes, relative to the project.

    Raises BuildError for what is outside of the project, cannot be read, or names folders of this machine.
    """
    texts: dict[str, str] = {}
    _gather(root, os.path.normpath(name), texts, wanted_by)
    return sorted(texts)


def _gather(root: Path, name: str, texts: dict[str, str], wanted_by: str) -> None:
    """Read a requirements file and those that it includes, by names relative to the project."""
    if name in texts:
        return
    path = root / name
    if name.startswith("../") or not path.resolve().is_relative_to(root.resolve()):
        raise errors.BuildError(f"{wanted_by} includes {name!r}, which is outside the project")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.BuildError(f"cannot read {name!r}, wanted by {wanted_by}: {error}") from None
    texts[name] = _without_ours(text)
    for line in _logical_lines(text):
        if _LOCAL.match(line):
            raise errors.BuildError(
                f"{name}: {line!r} is a folder of this machine, which an image cannot install"
            )
        option = _OPTION.fullmatch(line)
        if option and "://" not in option[2]:
            _gather(root, os.path.normpath(Path(name).parent / option[2]), texts, name)


def _without_ours(text: str) -> str:
    """Leave this package out of a requirements file: the image gets its files in a layer of their own."""
    kept = [line for line in _raw_lines(text) if tokens.requirement_name(line) != OURS]
    return "".join(f"{line}\n" for line in kept)


def _raw_lines(text: str) -> Iterator[str]:
    """Yield the lines of a requirements file, those that a backslash joins as one."""
    joined = ""
    for line in text.splitlines():
        joined += line
        if not line.endswith("\\"):
            yield joined
            joined = ""
        else:
            joined = joined[:-1] + " "
    if joined:
        yield joined


def _logical_lines(text: str) -> Iterator[str]:
    for line in _raw_lines(text):
        stripped = re.sub(r"(^|\s)#.*", "", line).strip()
        if stripped:
            yield stripped
