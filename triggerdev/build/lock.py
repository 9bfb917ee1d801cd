"""`trigger.lock`: what images are made of, to the byte: the digests of base images and of downloaded files.

Without the file a base counts by its name, and a download by what this version of us pins. With it nothing
else than what it holds is used: what it lacks, or holds otherwise, is an error.
"""

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev.build import tokens
from triggerdev.build.oci.model import checked_digest

FILE = "trigger.lock"
_VERSION = 1
_HEAD = f"""\
# What images of this project are made of: base images, and files that extensions download, by their digests.
# `trigger lock` writes it; keep it in version control.
version = {_VERSION}
"""
_ADVICE = "run `trigger lock`"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,32}")
_LONGEST = 200


@dataclass(frozen=True, order=True)
class Pin:
    """A file that a layer downloads and checks; `sha256` has (architecture, digest) pairs, sorted."""

    name: str
    version: str
    sha256: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: Any, version: Any, sha256: Any) -> "Pin":
        """Make a pin; raises ValueError for what is no text of one line, or no sha256."""
        for text in (name, version):
            if not isinstance(text, str) or not 0 < len(text) <= _LONGEST or not text.isprintable():
                raise ValueError(f"{text!r:.80} is no name or version")
        for architecture, digest in dict(sha256).items():
            if not _ARCHITECTURE.fullmatch(str(architecture)) or not _SHA256.fullmatch(str(digest)):
                raise ValueError(f"{architecture!r:.80}: {digest!r:.80} is no sha256 of an architecture")
        return cls(name, version, tuple(sorted(dict(sha256).items())))

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Lock:
    """The digest of each base image by its name, and the downloads, sorted."""

    bases: Mapping[str, str] = field(default_factory=dict)
    downloads: tuple[Pin, ...] = ()

    def pinned(self, base: str) -> str:
        """Give a base with its digest. Raises BuildError if it is not in the lock."""
        if "@" in base:
            return base
        if base not in self.bases:
            raise errors.BuildError(f"{FILE} does not hold the base image {base}; {_ADVICE}")
        return f"{base}@{self.bases[base]}"

    def check(self, pins: Iterable[Pin]) -> None:
        """Make sure that downloads are in the lock. Raises BuildError that names one that is not."""
        held = {(pin.name, pin.version): pin for pin in self.downloads}
        for pin in pins:
            known = held.get((pin.name, pin.version))
            if known is None:
                raise errors.BuildError(f"{FILE} does not hold the download {pin}; {_ADVICE}")
            if known != pin:
                raise errors.BuildError(
                    f"the sha256 of the download {pin} is another one than in {FILE}; if that is expected, "
                    + _ADVICE
                )

    def text(self) -> str:
        """Write the file, the same for the same lock."""
        parts = [_HEAD]
        for image, digest in sorted(self.bases.items()):
            parts.append(f'[[base]]\nimage = {json.dumps(image)}\ndigest = "{digest}"\n')
        for pin in sorted(self.downloads):
            name, version = (json.dumps(text, ensure_ascii=False) for text in (pin.name, pin.version))
            sums = "".join(f'sha256.{architecture} = "{digest}"\n' for architecture, digest in pin.sha256)
            parts.append(f"[[download]]\nname = {name}\nversion = {version}\n{sums}")
        return "\n".join(parts)


def read(root: Path) -> Lock | None:
    """Read a project's lock, None if it has none. Raises BuildError for a file that is none."""
    try:
        value = tomllib.loads((root / FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise errors.BuildError(f"{FILE} cannot be read: {error}; {_ADVICE}") from None
    version = value.get("version")
    if version != _VERSION:
        raise errors.BuildError(f"{FILE} is of version {version!r:.80}, which this one does not know")
    try:
        bases = {_image(each["image"]): checked_digest(each["digest"]) for each in value.get("base", [])}
        downloads = [
            Pin.of(each["name"], each["version"], each["sha256"]) for each in value.get("download", [])
        ]
    except (KeyError, TypeError, ValueError, AttributeError, errors.BuildError) as error:
        raise errors.BuildError(f"{FILE} cannot be understood: {error}; {_ADVICE}") from None
    return Lock(bases, tuple(sorted(downloads)))


def _image(text: Any) -> str:
    if not isinstance(text, str) or "@" in text or not tokens.is_image_reference(text):
        raise ValueError(f"{text!r:.80} is no name of an image")
    return text


def write(root: Path, lock: Lock) -> None:
    """Write a project's lock; the file is whole or as it was."""
    partial = root / f".{FILE}.{os.getpid()}"
    try:
        partial.write_text(lock.text(), "utf-8")
        partial.replace(root / FILE)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise errors.EnvironmentProblemError.of_disk(f"cannot write {root / FILE}", error) from None
