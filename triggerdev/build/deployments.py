"""Versions that were deployed from this machine: what `.trigger/deployments/<environment>/` holds.

20261127.1.json               one version: what it was built from, its image, its tasks
20261127.1.provenance.json    where it comes from, as an in-toto statement
promotions.json               which version became current when, the latest last
lock                          held while a version is made
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triggerdev import errors

FOLDER = ".trigger/deployments"
_VERSION = re.compile(r"(\d{8})\.(\d{1,9})")
_KEPT_PROMOTIONS = 1000


@dataclass(frozen=True)
class Layer:
    """A layer of a deployed image; `key` is the plan's content key, "" for layers of the base."""

    key: str
    diff_id: str
    digest: str
    size: int


@dataclass(frozen=True)
class BuiltImage:
    """An image that was built: what it is called, where it was put, and what it is made of.

    `program` is the command that runs it.
    """

    reference: str
    output: str
    digest: str
    config_digest: str
    platform: str
    layers: tuple[Layer, ...]
    path: str | None = None
    pushed: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    program: str = "docker"


@dataclass(frozen=True)
class Deployment:
    """One version. `key` is equal for equal versions; `keys` are those of the plan's layers by id."""

    version: str
    environment: str
    created_at: str
    key: str
    image: BuiltImage
    keys: dict[str, str]
    tasks: list[dict[str, Any]]
    manifest_hash: str
    indexed: str
    seconds: dict[str, float] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the deployment as plain data."""
        return asdict(self)

    @classmethod
    def read(cls, value: Any) -> Deployment:
        """Read what `as_json` gave; raises KeyError or TypeError for anything else."""
        image = dict(value["image"])
        image["layers"] = tuple(Layer(**layer) for layer in image["layers"])
        image["pushed"], image["names"] = tuple(image["pushed"]), tuple(image["names"])
        return cls(**{**value, "image": BuiltImage(**image)})


@dataclass(frozen=True)
class Promotion:
    """A version that became current; `at` is an ISO time in UTC."""

    version: str
    at: str


def order(version: str) -> tuple[int, int]:
    """Give what versions are sorted by. Raises UsageError for text that is no version."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise errors.UsageError(f"{version!r} is no version; versions look like 20261127.1")
    return int(match[1]), int(match[2])


class Deployments:
    """The versions of one environment of a project."""

    def __init__(self, root: Path, environment: str) -> None:
        self.environment = environment
        self._folder = root / FOLDER / environment

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from making a version. Raises AlreadyRunningError if one is at it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = (self._folder / "lock").open("a")
        except OSError as error:
            raise _disk(self._folder, error) from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise errors.AlreadyRunningError(
                    f"another `trigger deploy` of this project to {self.environment!r} is running"
                ) from None
            yield

    def all(self) -> list[Deployment]:
        """Give all versions, the newest first; what cannot be read as one is left out."""
        return [found for path in self._paths() if (found := self._read(path))]

    def _paths(self) -> list[Path]:
        """Give the files of all versions, the newest first."""
        paths = [path for path in self._folder.glob("*.json") if _VERSION.fullmatch(path.stem)]
        return sorted(paths, key=lambda path: order(path.stem), reverse=True)

    def get(self, version: str) -> Deployment:
        """Give one version. Raises UsageError if there is none of this name."""
        order(version)
        found = self._read(self._folder / f"{version}.json")
        if found is None:
            known = ", ".join(each.version for each in self.all()[:5]) or "none yet"
            raise errors.UsageError(
                f"there is no version {version} of {self.environment!r}; there are {known}"
            )
        return found

    def equal_to(self, key: str) -> Deployment | None:
        """Give the newest version that is made of the same; only files that name the key are read as JSON."""
        candidates = (self._read(path, key.encode()) for path in self._paths())
        return next((each for each in candidates if each and each.key == key), None)

    def next_version(self, now: datetime) -> str:
        """Name the next version: the day in UTC, and a number that counts from 1."""
        day = f"{now.astimezone(UTC):%Y%m%d}"
        stems = [path.stem for path in self._folder.glob(f"{day}.*.json")]
        numbers = [order(stem)[1] for stem in stems if _VERSION.fullmatch(stem)]
        return f"{day}.{max(numbers, default=0) + 1}"

    def add(self, deployment: Deployment) -> None:
        """Record a version; what is recorded is whole or not there."""
        self._write(f"{deployment.version}.json", deployment.as_json())

    def add_provenance(self, version: str, statement: Any) -> None:
        """Keep where a version comes from, beside it."""
        self._write(f"{version}.provenance.json", statement)

    def promotions(self) -> list[Promotion]:
        """Give which version became current when, the latest last."""
        try:
            value = json.loads((self._folder / "promotions.json").read_bytes())
            return [Promotion(str(each["version"]), str(each["at"])) for each in value]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise errors.EnvironmentProblemError(
                f"{self._folder / 'promotions.json'} cannot be read: {error}; delete it and promote a version"
            ) from None

    @property
    def current(self) -> str | None:
        """Give the version that is current."""
        promoted = self.promotions()
        return promoted[-1].version if promoted else None

    def promote(self, version: str, now: datetime) -> bool:
        """Make a version current; False if it is already. Raises UsageError if there is none of this name."""
        self.get(version)
        promoted = self.promotions()
        if promoted and promoted[-1].version == version:
            return False
        promoted.append(Promotion(version, f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"))
        self._write("promotions.json", [asdict(each) for each in promoted[-_KEPT_PROMOTIONS:]])
        return True

    def before_current(self) -> str:
        """Give the newest version older than the current one that was current, too.

        Raises UsageError if there is none.
        """
        promoted = self.promotions()
        current = promoted[-1].version if promoted else "00000000.0"
        known = {each.version for each in self.all()} & {each.version for each in promoted}
        older = sorted((each for each in known if order(each) < order(current)), key=order)
        if not older:
            raise errors.UsageError(
                f"there is no version of {self.environment!r} to go back to; "
                "`trigger deployments promote VERSION` makes any version current"
            )
        return older[-1]

    def _read(self, path: Path, holding: bytes = b"") -> Deployment | None:
        """Read a version, if its file holds some bytes; what cannot be read counts as none."""
        try:
            data = path.read_bytes()
            return Deployment.read(json.loads(data)) if holding in data else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, name: str, value: Any) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False, encoding="utf-8") as file:
                json.dump(value, file, indent=1, sort_keys=True)
            os.replace(file.name, self._folder / name)  # noqa: PTH105 - over a file that is there
        except OSError as error:
            raise _disk(self._folder / name, error) from None


def environments(root: Path) -> list[str]:
    """Name the environments that have versions."""
    folder = root / FOLDER
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _disk(place: Path, error: OSError) -> errors.EnvironmentProblemError:
    return errors.EnvironmentProblemError.of_disk(f"cannot write {place}", error)
