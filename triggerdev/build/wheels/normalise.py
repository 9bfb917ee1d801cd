"""An installed tree as members of a layer: whatever tells of this machine is left out or written anew.

* `direct_url.json`, `uv_cache.json` and `uv_build.json` hold paths and times of this machine.
* Scripts start with this machine's interpreter; in the layer, with the image's.
* RECORD lists both with hashes, so it is written anew, sorted.
* Compiled files belong to the interpreter that runs here.
"""

import base64
import csv
import hashlib
import io
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triggerdev import errors
from triggerdev.build.oci.members import Member

VENV = "/opt/venv"
_OF_THIS_MACHINE = frozenset({"direct_url.json", "uv_cache.json", "uv_build.json"})
_SHEBANG = re.compile(rb"\A#!/\S*/python[0-9.]*w?(?=[ \n])")
_LONG_SHEBANG = re.compile(rb"\A#!/bin/sh\n'''exec' [^\n]*\n' '''(?=\n)")


@dataclass(frozen=True)
class Tree:
    """An installed tree and the minor version of Python that it is for."""

    root: Path
    python: str

    def members(self) -> Iterator[Member]:
        """Yield the files of the tree at their places in the image. Raises BuildError for links."""
        site = self._site()
        made = dict(self._scripts())
        for path in _walk(self.root):
            name = self._name(path, site)
            if name in made:
                yield made[name]
            elif path.name == "RECORD" and path.parent.suffix == ".dist-info":
                yield _text(f"{VENV}/{name}", self._record(path, name, made))
            elif not self._left_out(path):
                yield _file(path, f"{VENV}/{name}")

    def _site(self) -> Path:
        found = sorted(self.root.glob("lib/python*/site-packages"))
        if len(found) != 1:
            raise errors.BuildError(f"uv has not installed into lib/python3.x/site-packages, but {found}")
        return found[0]

    def _name(self, path: Path, site: Path) -> str:
        """Give a path below the environment, whose Python may be another than the one that runs here."""
        if path.is_relative_to(site):
            return f"lib/python{self.python}/site-packages/{path.relative_to(site).as_posix()}"
        return path.relative_to(self.root).as_posix()

    def _scripts(self) -> Iterator[tuple[str, Member]]:
        folder = self.root / "bin"
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file():
                name = f"bin/{path.name}"
                yield name, _text(f"{VENV}/{name}", for_the_image(path.read_bytes()), 0o755)

    def _left_out(self, path: Path) -> bool:
        of_this_machine = path.name in _OF_THIS_MACHINE and path.parent.suffix == ".dist-info"
        compiled = "__pycache__" in path.parts[len(self.root.parts) :]
        return of_this_machine or compiled or (path.parent == self.root and path.name.startswith("."))

    def _record(self, path: Path, name: str, made: dict[str, Member]) -> bytes:
        site = posixpath.dirname(posixpath.dirname(name))
        rows = []
        for row in csv.reader(io.StringIO(path.read_text("utf-8"))):
            place = posixpath.normpath(posixpath.join(site, row[0]))
            if place in made:
                rows.append([row[0], *_described(made[place].content or b"")])
            elif not self._left_out(self.root / place):
                rows.append(row)
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(sorted(rows))
        return out.getvalue().encode()


def for_the_image(script: bytes) -> bytes:
    """Let a script start with the image's interpreter where it starts with one of an absolute path."""
    fresh = b"#!" + f"{VENV}/bin/python".encode()
    return _SHEBANG.sub(fresh, _LONG_SHEBANG.sub(fresh, script))


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink():
                raise errors.BuildError(f"{path.relative_to(root)} is a link, which no wheel can hold")
            yield path


def _file(path: Path, place: str) -> Member:
    state = path.stat()
    return Member(place, "file", 0o755 if state.st_mode & stat.S_IXUSR else 0o644, state.st_size, source=path)


def _text(place: str, content: bytes, mode: int = 0o644) -> Member:
    return Member(place, "file", mode, len(content), content)


def _described(content: bytes) -> list[str]:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return [f"sha256={digest}", str(len(content))]
