"""Which files stay out of an image: a built-in list, .gitignore, .dockerignore and `build.exclude`.

Rules are asked in that order and the last one that matches decides, so `exclude = ["!certs/ca.pem"]` brings
back a file that the built-in list keeps out. Version control folders, caches and virtual environments never
come back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec

from triggerdev import errors

NEVER = frozenset(
    {".git", ".hg", ".svn", ".bzr", ".jj", "CVS", "_darcs", ".trigger", "__pycache__", "node_modules"}
    | {".venv", ".tox", ".nox", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".DS_Store"}
)
DEFAULTS = (
    *(".env*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdbx"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".ssh/", ".aws/", ".gnupg/"),
    *(".netrc", ".pypirc", ".npmrc", ".git-credentials", ".htpasswd", "*.pyc", "*.pyo"),
)
BUILT_IN = "the built-in list (environment files, keys, compiled files)"
NEVER_BACK = "the list of folders that no image needs (version control, caches, environments)"


@dataclass(frozen=True)
class _Rules:
    """The patterns of one origin; they act on paths below `folder`."""

    origin: str
    folder: Path
    spec: pathspec.GitIgnoreSpec

    def within(self, folder: Path) -> "_Within | None":
        """Give the rules as they act on what is directly in a folder; None if they do not reach it."""
        if not folder.is_relative_to(self.folder):
            return None
        below = folder.relative_to(self.folder).as_posix()
        return _Within(self.origin, "" if below == "." else f"{below}/", self.spec)


@dataclass(frozen=True)
class _Within:
    """Rules as they act in one folder, of which `prefix` is the path that their patterns see."""

    origin: str
    prefix: str
    spec: pathspec.GitIgnoreSpec

    def verdict(self, name: str) -> bool | None:
        """Tell whether the rules keep a name out (True), bring it in (False) or do not know it (None)."""
        return self.spec.check_file(self.prefix + name).include


class Ignore:
    """The rules of one project; reads the .gitignore files of folders as they are met."""

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
        self._root = root
        self._first = [_Rules(BUILT_IN, Path(root.anchor), _spec(DEFAULTS))]
        docker = _docker_patterns(_lines(root / ".dockerignore"))
        self._last = [_Rules(".dockerignore", root, _spec(docker))] if docker else []
        for pattern in exclude:
            if not _is_pattern(pattern):
                raise errors.BuildError(f"build.exclude: {pattern!r} is no pattern as in .gitignore")
        if exclude:
            self._last.append(_Rules("build.exclude", root, _spec(exclude)))
        self._top = _repository(root) or root
        self._comes_back = any(line.startswith("!") for line in (*docker, *exclude))
        self._by_folder: dict[Path, list[_Rules]] = {}
        self._within: dict[Path, list[_Within]] = {}

    def keeps_out(self, path: Path, is_folder: bool = False) -> str | None:
        """Name what keeps an absolute path out of the image; None if nothing does."""
        if path.name in NEVER:
            return NEVER_BACK
        found: str | None = None
        name = f"{path.name}/" if is_folder else path.name
        for rules in self._rules_in(path.parent):
            verdict = rules.verdict(name)
            if verdict is not None:
                found = rules.origin if verdict else None
        return found

    def prunes(self, folder: Path) -> bool:
        """Tell whether nothing below a folder can enter the image, so that it need not be walked."""
        if folder.name in NEVER or (folder / "pyvenv.cfg").is_file():
            return True
        return not self._comes_back and self.keeps_out(folder, is_folder=True) is not None

    def _rules_in(self, folder: Path) -> list[_Within]:
        """Give all rules that act on what is directly in a folder, the last one wins."""
        known = self._within.get(folder)
        if known is None:
            rules = (*self._first, *self._gitignores(folder), *self._last)
            known = self._within[folder] = [each for rule in rules if (each := rule.within(folder))]
        return known

    def _gitignores(self, folder: Path) -> list[_Rules]:
        """Give the rules of all .gitignore files from the repository's root down to a folder."""
        if not folder.is_relative_to(self._top):
            return []
        known = self._by_folder.get(folder)
        if known is None:
            above = [] if folder == self._top else self._gitignores(folder.parent)
            known = self._by_folder[folder] = [*above, *_gitignore(folder, self._root)]
        return known


def _gitignore(folder: Path, root: Path) -> list[_Rules]:
    lines = _lines(folder / ".gitignore")
    if not lines:
        return []
    inside = folder.is_relative_to(root)
    origin = (folder.relative_to(root) / ".gitignore").as_posix() if inside else "the repository's .gitignore"
    return [_Rules(origin, folder, _spec(lines))]


def _repository(folder: Path) -> Path | None:
    """Give the root of the git repository that holds a folder."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []  # there is no such file, or a folder has its name


def _spec(lines: Sequence[str]) -> pathspec.GitIgnoreSpec:
    """Compile patterns; those that are none have no effect, as in git."""
    return pathspec.GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _docker_patterns(lines: Sequence[str]) -> list[str]:
    """Write .dockerignore lines, which are anchored at the root, as .gitignore lines."""
    patterns = []
    for line in (line.strip() for line in lines):
        if line and not line.startswith("#"):
            sign, pattern = ("!", line[1:].strip()) if line.startswith("!") else ("", line)
            patterns.append(f"{sign}/{pattern.removeprefix('./').lstrip('/')}")
    return patterns
