"""Finding files by path, folder or glob, below allowed roots only.

`*`, `?` and `[...]` match within a name, `**` any number of folders, `{a,b}` either of two; names that start
with a dot must be written out. A folder's name means all files below it. Links are followed while they stay
in a root.
"""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triggerdev import errors
from triggerdev.build import tokens
from triggerdev.build.ignore import NEVER_BACK, Ignore

_MAGIC = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_MAX_ALTERNATIVES = 1000


@dataclass(frozen=True)
class Found:
    """A regular file: its path as written, and as relative to the pattern's fixed part."""

    path: Path
    below: str


@dataclass(frozen=True, slots=True)
class _Child:
    """What a folder holds, and whether it is a folder, or leads to one."""

    path: Path
    is_folder: bool


@dataclass
class Search:
    """One search; `label` says in errors who wants the files, `kept_out` collects what the rules refused."""

    root: Path
    allowed: tuple[Path, ...]
    ignore: Ignore
    label: str
    kept_out: dict[str, str] = field(default_factory=dict)
    _seen: set[Path] = field(default_factory=set)

    def find(self, pattern: str) -> list[Found]:
        """Find the regular files of a pattern, sorted by path.

        Raises BuildError for links that leave the allowed roots or lead nowhere, for devices, FIFOs and
        sockets, and for names that hold control characters.
        """
        found: dict[str, Found] = {}
        for alternative in _expand_braces(pattern):
            start, segments = self._start(alternative)
            self._contained(start)
            for path in self._walk(start, segments):
                item = self._regular(path, start)
                if item:
                    found.setdefault(path.as_posix(), item)
        return [found[path] for path in sorted(found)]

    def shown(self, path: Path) -> str:
        """Write a path for people, relative to the project where that is possible."""
        return tokens.printable(os.path.relpath(path, self.root))

    def _start(self, pattern: str) -> tuple[Path, list[str]]:
        """Split a pattern into its fixed part and the segments that hold wildcards."""
        whole = Path(os.path.normpath(self.root / pattern))
        if not _MAGIC.search(pattern) or os.path.lexists(whole):
            return whole, []
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
        if ".." in parts[first:]:
            raise errors.BuildError(f'{self.label}: the pattern {pattern!r} has ".." behind a wildcard')
        head = "/" if pattern.startswith("/") else ""
        return Path(os.path.normpath(self.root / (head + "/".join(parts[:first])))), parts[first:]

    def _walk(self, start: Path, segments: list[str]) -> Iterator[Path]:
        if not os.path.lexists(start) or any(self._pruned(folder) for folder in self._folders_of(start)):
            return
        if segments:
            yield from self._matches(start, segments, ())
        elif self._is_folder(start):
            yield from self._matches(start, ["**"], ())
        else:
            yield start

    def _matches(self, folder: Path, segments: Sequence[str], above: tuple[str, ...]) -> Iterator[Path]:
        head, rest = segments[0], segments[1:]
        if head == "**":
            yield from self._any_depth(folder, rest, above)
            return
        if not _MAGIC.search(head):
            child = folder / head
            if os.path.lexists(child):
                yield from self._below(_Child(child, self._is_folder(child)), rest, above)
            return
        for each in self._children(folder):
            if _name_matches(each.path.name, head):
                yield from self._below(each, rest, above)

    def _below(self, child: "_Child", rest: Sequence[str], above: tuple[str, ...]) -> Iterator[Path]:
        """Go on below a child whose name matched; without further segments the child itself is the match."""
        if not rest:
            if not child.is_folder:
                yield child.path
        elif child.is_folder and not self._pruned(child.path):
            yield from self._matches(child.path, rest, above)

    def _any_depth(self, folder: Path, rest: Sequence[str], above: tuple[str, ...]) -> Iterator[Path]:
        here = os.path.realpath(folder)
        if here in above:
            raise errors.BuildError(
                f"{self.label}: the link {self.shown(folder)} leads back to a folder above it"
            )
        if rest:
            yield from self._matches(folder, rest, above)
        for child in self._children(folder):
            if child.path.name.startswith("."):
                continue
            if not child.is_folder:
                if not rest:
                    yield child.path
            elif not self._pruned(child.path):
                yield from self._any_depth(child.path, rest, (*above, here))

    def _children(self, folder: Path) -> list["_Child"]:
        self._contained(folder)
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            return [_Child(folder / entry.name, self._leads_to_folder(entry)) for entry in found]
        except OSError as error:
            raise errors.BuildError(
                f"{self.label}: cannot read {self.shown(folder)}: {error.strerror}"
            ) from None

    def _pruned(self, folder: Path) -> bool:
        """Tell whether nothing below a folder may enter the image, be it by its name or by where it leads."""
        for place in (folder, *self._folders_of(self._real(folder))):
            if self.ignore.prunes(place):
                self.kept_out[self.shown(folder) + "/"] = self.ignore.keeps_out(place, True) or NEVER_BACK
                return True
        self._contained(folder)
        return False

    def _folders_of(self, path: Path) -> list[Path]:
        """Give a path and what is above it, as far as these are folders below the project."""
        return [each for each in (path, *path.parents) if each != self.root and self._is_own_folder(each)]

    def _is_own_folder(self, path: Path) -> bool:
        return path.is_relative_to(self.root) and path.is_dir()

    def _real(self, path: Path) -> Path:
        """Follow the links of a path; what is in the project stays written as below `root`."""
        real = Path(os.path.realpath(path))
        home = Path(os.path.realpath(self.root))
        return self.root / real.relative_to(home) if real.is_relative_to(home) else real

    def _is_folder(self, path: Path) -> bool:
        try:
            return stat.S_ISDIR(path.stat().st_mode)
        except OSError:
            return False  # a link that leads nowhere; it is reported when it turns out to be wanted

    def _leads_to_folder(self, entry: os.DirEntry[str]) -> bool:
        """Tell the same without asking the disk again, unless it is a link."""
        return self._is_folder(Path(entry.path)) if entry.is_symlink() else entry.is_dir()

    def _regular(self, path: Path, start: Path) -> Found | None:
        reason = self.ignore.keeps_out(path)
        is_link = reason is None and path.is_symlink()
        if is_link:
            real = self._real(path)
            hidden = any(self.ignore.prunes(folder) for folder in self._folders_of(real))
            reason = NEVER_BACK if hidden else self.ignore.keeps_out(real)
        if reason:
            self.kept_out[self.shown(path)] = reason
            return None
        if tokens.has_control(str(path)):
            raise errors.BuildError(
                f"{self.label}: the name of '{self.shown(path)}' holds control characters; rename it"
            )
        if path == start or is_link:
            self._contained(path)
        mode = self._mode(path)
        if not stat.S_ISREG(mode):
            kind = _kind(mode)
            raise errors.BuildError(
                f"{self.label}: {self.shown(path)} is a {kind}, not a file; leave it out with build.exclude"
            )
        # By its text, which is quicker than `relative_to`: the path was found below `start`.
        below = path.as_posix().removeprefix(start.as_posix()).lstrip("/")
        return Found(path, below or path.name)

    def _mode(self, path: Path) -> int:
        try:
            return path.stat().st_mode
        except OSError as error:
            raise errors.BuildError(
                f"{self.label}: cannot read {self.shown(path)}: {error.strerror}"
            ) from None

    def _contained(self, path: Path) -> None:
        if path in self._seen or not os.path.lexists(path):
            return  # where there is nothing, the one who asks says so
        self._seen.add(path)
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise errors.BuildError(f"{self.label}: the link {self.shown(path)} leads nowhere") from None
        if not any(real.is_relative_to(allowed) for allowed in self.allowed):
            raise errors.BuildError(
                f"{self.label}: {self.shown(path)} is a link out of the project (to {self.shown(real)}); "
                "copy the files, or leave it out with build.exclude"
            )


def fixed_part(root: Path, pattern: str) -> Path:
    """Give the folder or file that a pattern starts from, as a path without "..", links not resolved."""
    parts = pattern.split("/")
    fixed: list[str] = []
    for part in parts:
        if _MAGIC.search(part) and not os.path.lexists(root / "/".join([*fixed, part])):
            break
        fixed.append(part)
    return Path(os.path.normpath(root / "/".join(fixed))) if fixed else root


def _expand_braces(pattern: str) -> list[str]:
    done: list[str] = []
    open_patterns = [pattern]
    while open_patterns:
        current = open_patterns.pop(0)
        match = _BRACES.search(current)
        if match is None:
            done.append(current)
        else:
            parts = match[1].split(",")
            open_patterns += [current[: match.start()] + part + current[match.end() :] for part in parts]
        if len(open_patterns) + len(done) > _MAX_ALTERNATIVES:
            raise errors.BuildError(
                f"the pattern {pattern!r} stands for more than {_MAX_ALTERNATIVES} patterns"
            )
    return done


def _name_matches(name: str, segment: str) -> bool:
    if name.startswith(".") and not segment.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, segment)


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "FIFO"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISBLK, "device"),
        (stat.S_ISCHR, "device"),
    )
    return next((name for test, name in kinds if test(mode)), "special file")
