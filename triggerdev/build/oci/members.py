"""What a layer holds, brought into the one order and form in which it is written.

Every folder above a member is a member, too: engines make missing ones with modes of their own. Folders that
base images have keep the modes they have there (`_FOLDERS`), and what is put below a folder that is a link in
all of today's distributions goes to where the link leads, since a folder in its place would hide the link.
"""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from triggerdev import errors

Kind = Literal["file", "folder", "link"]

_FOLDERS = {"tmp": 0o1777, "var/tmp": 0o1777, "run/lock": 0o1777, "root": 0o700, "etc/ssl/private": 0o710}
"""Modes of the folders that are not 0o755 in base images."""

_LINKED = {
    **{name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32")},
    "var/run": "run",
    "var/lock": "run/lock",
}


@dataclass(frozen=True)
class Member:
    """One entry of a layer.

    `path` is below the image's root, with or without a leading "/". A file's bytes are `content`, or those of
    `source`, which must have the given size and, where it is known, the given sha256. `target` is where a
    link leads, as written.
    """

    path: str
    kind: Kind = "file"
    mode: int = 0o644
    size: int = 0
    content: bytes | None = field(default=None, repr=False)
    source: Path | None = field(default=None, repr=False)
    sha256: str | None = None
    target: str = ""
    uid: int = 0
    gid: int = 0


def text(path: str, content: str | bytes, mode: int = 0o644) -> Member:
    """Make a file from text or bytes."""
    data = content.encode() if isinstance(content, str) else content
    return Member(path, "file", mode, len(data), data)


def folder(path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Member:
    """Make a folder."""
    return Member(path, "folder", mode, uid=uid, gid=gid)


def link(path: str, target: str) -> Member:
    """Make a symbolic link."""
    return Member(path, "link", 0o777, target=target)


def complete(members: Iterable[Member]) -> list[Member]:
    """Sort members and add the folders above them.

    Raises BuildError for paths that leave the image, for two members of one path, for files and links that
    are folders of others, and for names that mean something else in a layer (".wh.").
    """
    found: dict[str, Member] = {}
    for member in members:
        path = _clean(member.path)
        if path in found:
            raise errors.BuildError(f"a layer would hold /{path} twice")
        found[path] = replace(member, path=path)
    for path in list(found):
        _add_parents(path, found)
    return [found[path] for path in sorted(found, key=_order)]


def _order(path: str) -> list[bytes]:
    """Sort by folder, so that what is below one follows it at once."""
    return [part.encode() for part in path.split("/")]


def _clean(path: str) -> str:
    clean = posixpath.normpath(path.lstrip("/"))
    parts = clean.split("/")
    if clean in ("", ".") or ".." in path.split("/") or not _is_text(path):
        raise errors.BuildError(f"{path!r} is no path that a layer can hold")
    if "/.wh." in f"/{clean}":
        raise errors.BuildError(f"{path!r}: names that start with '.wh.' delete files in a layer")
    for depth in (2, 1):
        head = "/".join(parts[:depth])
        if head in _LINKED and len(parts) > depth:
            return "/".join([_LINKED[head], *parts[depth:]])
    return clean


def _is_text(path: str) -> bool:
    """Tell whether a name can be UTF-8; a NUL would end it."""
    try:
        return b"\0" not in path.encode()
    except UnicodeEncodeError:
        return False


def _add_parents(path: str, found: dict[str, Member]) -> None:
    while path := posixpath.dirname(path):
        above = found.get(path)
        if above is not None and above.kind != "folder":
            raise errors.BuildError(f"/{path} would be a {above.kind} and a folder in one layer")
        if above is not None:
            return  # what is above it was added with it, or comes in its turn
        found[path] = folder(path, _FOLDERS.get(path, 0o755))
