"""Files of an image: where they come from, where they go, what they hold, and nothing else of the machine."""

import hashlib
import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triggerdev import errors
from triggerdev.build import digests, globs, tokens
from triggerdev.build.ignore import NEVER_BACK, Ignore
from triggerdev.build.layers import FileMapping

APP = "/app"
_LONGEST, _LONGEST_NAME = 4000, 255
_RESERVED = ("/proc", "/sys", "/dev", "/run/trigger")


@dataclass(frozen=True)
class FileEntry:
    """One file of an image.

    `destination` is absolute; `source` is relative to the project, for people; `mode` is 0o644 or 0o755. The
    bytes are `content`, or those of `path` on this machine, which no key and no plan contains.
    """

    destination: str
    source: str
    size: int
    mode: int
    sha256: str
    path: Path | None = field(default=None, compare=False, repr=False)
    content: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Resolved:
    """The files of some mappings, what to warn of, and the places whose changes matter to them."""

    files: tuple[FileEntry, ...]
    warnings: tuple[str, ...]
    watch: tuple[Path, ...]


def resolve(mappings: Sequence[FileMapping], root: Path, ignore: Ignore, label: str) -> Resolved:
    """Find the files of mappings; `label` names in errors who wants them.

    Raises BuildError for everything that build.md's rules on files forbid.
    """
    files: list[FileEntry] = []
    warnings: list[str] = []
    for mapping in mappings:
        found, kept_out = _search(mapping, root, ignore, label)
        if not found:
            problem = _nothing_found(mapping, label, kept_out)
            if not mapping.optional:
                raise errors.BuildError(problem)
            warnings.append(problem)
        base = globs.fixed_part(root, mapping.source)
        single = base.is_file()
        files += [_entry(item, _destination(mapping, item, root, single, label), root) for item in found]
    watch = tuple(globs.fixed_part(root, mapping.source) for mapping in mappings)
    return Resolved(without_collisions([(label, files)])[0], tuple(warnings), watch)


def generated(destination: str, content: bytes, source: str) -> FileEntry:
    """Make a file from bytes; `source` says for people where they come from."""
    digest = hashlib.sha256(content).hexdigest()
    return FileEntry(destination, source, len(content), 0o644, digest, content=content)


def read(path: Path, destination: str, source: str) -> FileEntry:
    """Describe a file of this machine. Raises BuildError if it cannot be read."""
    try:
        state, digest = digests.digest(path)
    except OSError as error:
        raise errors.BuildError(f"cannot read {tokens.printable(source)}: {error.strerror}") from None
    mode = 0o755 if state.st_mode & stat.S_IXUSR else 0o644
    return FileEntry(destination, source, state.st_size, mode, digest, path=path)


def without_collisions(groups: Sequence[tuple[str, Sequence[FileEntry]]]) -> list[tuple[FileEntry, ...]]:
    """Drop files that an earlier group has put in the same place already, and sort each group.

    Raises BuildError that names both sources when two of them claim one place, or when one needs a folder
    where the other has a file.
    """
    owners: dict[str, tuple[str, FileEntry]] = {}
    result = []
    for label, entries in groups:
        kept = []
        for entry in entries:
            known = owners.get(entry.destination)
            if known is None:
                owners[entry.destination] = (label, entry)
                kept.append(entry)
            elif known[1].source != entry.source:
                raise errors.BuildError(
                    f"{entry.destination} has two sources: {known[1].source} ({known[0]}) and "
                    f"{entry.source} ({label}); give one of them another destination"
                )
        result.append(tuple(sorted(kept, key=lambda entry: entry.destination)))
    _no_file_is_a_folder(owners)
    return result


def _no_file_is_a_folder(owners: dict[str, tuple[str, FileEntry]]) -> None:
    for destination, (label, entry) in owners.items():
        for parent in _parents(destination):
            if parent in owners:
                other_label, other = owners[parent]
                raise errors.BuildError(
                    f"{parent} would be a file ({other.source}, {other_label}) and a folder "
                    f"({entry.source}, {label}); give one of them another destination"
                )


def _parents(destination: str) -> list[str]:
    parents = []
    while (destination := posixpath.dirname(destination)) != "/":
        parents.append(destination)
    return parents


def _search(
    mapping: FileMapping, root: Path, ignore: Ignore, label: str
) -> tuple[list[globs.Found], dict[str, str]]:
    base = globs.fixed_part(root, mapping.source)
    inside = base.is_relative_to(root)
    if not inside and not mapping.allow_outside:
        raise errors.BuildError(
            f"{label}: the source {mapping.source!r} is outside the project; "
            "copy it into the project, or set allow_outside = true and a destination"
        )
    if not inside and mapping.destination is None:
        raise errors.BuildError(f"{label}: {mapping.source!r} is outside the project and needs a destination")
    allowed = [root.resolve()]
    if mapping.allow_outside and base.exists():
        allowed.append(base.resolve())
    search = globs.Search(root, tuple(allowed), ignore, label)
    return search.find(mapping.source), search.kept_out


def _nothing_found(mapping: FileMapping, label: str, kept_out: dict[str, str]) -> str:
    if not kept_out:
        return f"{label}: nothing matches {mapping.source!r}"
    name, reason = next(iter(sorted(kept_out.items())))
    more = f" and {len(kept_out) - 1} more" if len(kept_out) > 1 else ""
    advice = "" if reason == NEVER_BACK else f'; build.exclude = ["!{name}"] brings it back'
    return f"{label}: all that matches {mapping.source!r} is kept out: {name}{more}, by {reason}{advice}"


def _destination(mapping: FileMapping, item: globs.Found, root: Path, single: bool, label: str) -> str:
    if mapping.destination is None:
        return _usable(posixpath.join(APP, item.path.relative_to(root).as_posix()), label)
    wanted = mapping.destination
    if ".." in wanted.split("/"):
        raise errors.BuildError(f'{label}: the destination {wanted!r} must not hold ".."')
    target = posixpath.normpath("/" + posixpath.join(APP, wanted).lstrip("/"))
    if not single or wanted.endswith("/"):
        target = posixpath.join(target, item.below)
    if target == "/" or any(target == place or target.startswith(place + "/") for place in _RESERVED):
        raise errors.BuildError(f"{label}: no file can be put at {target}")
    return _usable(target, label)


def _usable(target: str, label: str) -> str:
    problem = _unusable(target)
    if problem:
        raise errors.BuildError(f"{label}: no file can be put at {target}: {problem}")
    return target


def _unusable(target: str) -> str | None:
    """Say why a path can be none in an image."""
    parts = target.split("/")
    if any(part.startswith(".wh.") for part in parts):
        return "names that start with '.wh.' delete files in layers of images"
    if len(os.fsencode(target)) > _LONGEST or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        return f"names have at most {_LONGEST_NAME} bytes, and paths {_LONGEST}"
    return None


def _entry(item: globs.Found, destination: str, root: Path) -> FileEntry:
    return read(item.path, destination, os.path.relpath(item.path, root).replace(os.sep, "/"))
