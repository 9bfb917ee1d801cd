"""What a build needs of a container engine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from triggerdev.build.progress import Progress


@dataclass(frozen=True)
class Capabilities:
    """What an engine was found to be able to do.

    `secret_env`: RUN --mount=type=secret,env=NAME; without it secrets are files. `heredocs` and `copy_link`
    are those of Containerfiles.
    """

    engine: str
    version: str
    platform: str
    secret_env: bool = False
    heredocs: bool = False
    copy_link: bool = False


@dataclass(frozen=True)
class BuildRequest:
    """A folder with a Containerfile that is to become an image.

    `instructions` names for each instruction, in order, the layer it belongs to, and `steps` does so for
    those that do something, FROM left out. `secrets` are mounted by name.
    """

    folder: Path
    tag: str
    platform: str
    steps: Sequence[str]
    instructions: Sequence[str]
    no_cache: bool = False
    network: str = "default"
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class StepFailedError(Exception):
    """An instruction failed: the layer it belongs to, what was executed, and its last lines."""

    def __init__(self, layer: str, reason: str, lines: Sequence[str]) -> None:
        super().__init__(reason)
        self.layer = layer
        self.reason = reason
        self.lines = list(lines)


@dataclass(frozen=True)
class Ran:
    """How a command in a container ended."""

    status: int
    stdout: bytes
    stderr: str


class Backend(Protocol):
    """A container engine. Every method raises EnvironmentProblemError if the engine does not work."""

    name: str
    program: str
    """What people call to run an image."""

    def ping(self) -> None:
        """Make sure that the engine answers. Raises EnvironmentProblemError that says what to do."""

    def close(self) -> None:
        """Give up connections; the engine can be used again."""

    def probe(self) -> Capabilities:
        """Find out what the engine can do. Raises EnvironmentProblemError if it cannot build."""

    def build(self, request: BuildRequest, progress: Progress) -> None:
        """Build an image and tag it. Raises StepFailedError for an instruction that fails."""

    def diff_ids(self, reference: str) -> list[str] | None:
        """Give the layers of an image that the engine has, bottom first; None if it does not have it."""

    def image_id(self, reference: str) -> str | None:
        """Give the digest of an image's config; None if the engine does not have it."""

    def pull(self, reference: str, platform: str) -> None:
        """Get an image from its registry."""

    def save(self, reference: str, path: Path) -> None:
        """Write an image as a tar in Docker's format."""

    def load(self, tar: Iterable[bytes]) -> None:
        """Take an image, with its name, from a tar as `oci.archive.stream` writes it."""

    def loads_thin(self) -> bool:
        """Tell whether images can be loaded without the layers that the engine has."""

    def tag(self, reference: str, name: str) -> None:
        """Give an image another name."""

    def untag(self, name: str) -> None:
        """Take a name away, and the image if it has no other."""

    def run(self, reference: str, command: Sequence[str], timeout: float) -> Ran:
        """Run a command in an image, without network and with no variables but the image's own."""
