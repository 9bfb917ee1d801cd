"""Names of images: [registry/]repository[:tag][@digest]."""

import re
from dataclasses import dataclass, replace

from triggerdev import errors
from triggerdev.build.oci.model import checked_digest

DOCKER_HUB = "docker.io"
_HUB_API = "registry-1.docker.io"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::\d{{1,5}})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")


@dataclass(frozen=True)
class Reference:
    """A repository of a registry, and the tag or digest of an image in it."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a name as docker does. Raises BuildError if it is none."""
        name, _, digest = text.partition("@")
        name, tag = _split_tag(name)
        registry, repository = _split_registry(name)
        valid = _HOST.fullmatch(registry) and _REPOSITORY.fullmatch(repository) and len(name) <= 255
        if not valid or (tag is not None and not _TAG.fullmatch(tag)):
            raise errors.BuildError(
                f"{text!r} is no image reference; write [registry/]name[:tag], the name in lower case"
            )
        if "@" in text:
            checked_digest(digest)
        return cls(registry, repository, tag or ("" if digest else "latest"), digest)

    @property
    def wanted(self) -> str:
        """Give what names the image in its repository: the digest, else the tag."""
        return self.digest or self.tag

    @property
    def host(self) -> str:
        """Give the host that answers for the registry."""
        return _HUB_API if self.registry == DOCKER_HUB else self.registry

    @property
    def is_loopback(self) -> bool:
        """Tell whether the registry is on this machine, where no TLS is needed."""
        return _LOOPBACK.fullmatch(self.registry) is not None

    def tagged(self, tag: str) -> "Reference":
        """Give another image of the same repository."""
        return replace(self, tag=tag, digest="")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{'@' + self.digest if self.digest else ''}"


def _split_tag(name: str) -> tuple[str, str | None]:
    head, colon, tail = name.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (name, None)


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        if first in (DOCKER_HUB, f"index.{DOCKER_HUB}", _HUB_API):
            return DOCKER_HUB, rest if "/" in rest else f"library/{rest}"
        return first, rest
    return DOCKER_HUB, name if slash else f"library/{name}"
