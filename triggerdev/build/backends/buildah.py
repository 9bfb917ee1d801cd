"""podman, or buildah where there is no podman: everything by their command lines, without a daemon."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev.build.backends import features, programs
from triggerdev.build.backends.buildah_output import Reader
from triggerdev.build.backends.protocol import BuildRequest, Capabilities, Ran
from triggerdev.build.backends.secret_files import secret_files
from triggerdev.build.progress import Progress

_SECONDS = 900.0
_ARCHIVE = "docker-archive:"


class Buildah:
    """podman if it is on PATH, else buildah; TRIGGER_BUILDAH in the environment names another program."""

    name = "buildah"
    program = "podman"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    def ping(self) -> None:
        """Make sure that the program works. Raises EnvironmentProblemError that says what to do."""
        status, _, problem = programs.ask([self._program, "info"], self._environ)
        if status != 0:
            raise errors.EnvironmentProblemError(f"{self._program} does not work here: {_last(problem)}")

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def probe(self) -> Capabilities:
        """Ask for the version, and try what Containerfiles are understood."""
        whole = json.loads(self._ask("info", *self._format("json")))
        host = whole["host"]
        architecture = host.get("arch") or host.get("Arch") or ""
        version = re.search(r"\d+(?:\.\d+)+", self._ask("--version"))
        return Capabilities(
            self._program.name,
            version[0] if version else "",
            f"linux/{architecture}",
            **features.tried(self._builds),
        )

    def _builds(self, folder: Path) -> bool:
        """Build every stage, since those that are left out are not looked at; there is nothing to execute."""
        name = "trigger-probe:features"
        command = ["build", "--quiet", "--skip-unused-stages=false", f"--tag={name}"]
        file = f"--file={folder / 'Containerfile'}"
        status, _, problem = programs.ask([self._program, *command, file, folder], self._environ)
        programs.ask([self._program, "rmi", name], self._environ)
        return status == 0 or "executable file" in problem

    def build(self, request: BuildRequest, progress: Progress) -> None:
        """Build a folder; each instruction is a layer of its own, and those that are known are reused."""
        reader = Reader(request.instructions, progress)
        with secret_files(request.secrets) as secrets:
            command: list[str | Path] = [self._program, "build", "--layers", f"--tag={request.tag}"]
            command += [f"--file={request.folder / 'Containerfile'}", f"--platform={request.platform}"]
            command += ["--no-cache"] if request.no_cache else []
            command += [] if request.network == "default" else [f"--network={request.network}"]
            # Without the type, a variable of that name in the environment would go before the file.
            command += [f"--secret=id={name},type=file,src={path}" for name, path in secrets.items()]
            status = programs.follow([*command, request.folder], self._environ, reader.feed)
        reader.end(status)
        if status != 0:
            raise reader.failed or _why(list(reader.tail))

    # -- images

    def diff_ids(self, reference: str) -> list[str] | None:
        """Give the layers of an image that is here, bottom first."""
        found = self._inspect(reference)
        if found is None:
            return None
        rootfs = found["RootFS"]["Layers"] if self._is_podman else found["OCIv1"]["rootfs"]["diff_ids"]
        return [str(each) for each in rootfs]

    def image_id(self, reference: str) -> str | None:
        """Give the digest of an image's config."""
        found = self._inspect(reference)
        if found is None:
            return None
        digest = str(found["Id"] if self._is_podman else found["FromImageID"])
        return f"sha256:{digest.removeprefix('sha256:')}"

    def pull(self, reference: str, platform: str) -> None:
        """Get an image from its registry, with the credentials that the program has."""
        self._ask("pull", "--quiet", f"--platform={platform}", reference)

    def save(self, reference: str, path: Path) -> None:
        """Write an image as a tar in Docker's format."""
        if self._is_podman:
            self._ask("save", "--quiet", "--format=docker-archive", f"--output={path}", reference)
        else:
            self._ask("push", "--quiet", reference, f"{_ARCHIVE}{path}:{reference}")

    def load(self, tar: Iterable[bytes]) -> None:
        """Take an image, with its name, from a tar."""
        with _file_of(tar) as path:
            if self._is_podman:
                self._ask("load", "--quiet", f"--input={path}")
            else:
                self._ask("pull", "--quiet", f"{_ARCHIVE}{path}")

    def loads_thin(self) -> bool:
        """Tell that every layer is wanted."""
        return False

    def tag(self, reference: str, name: str) -> None:
        """Give an image another name."""
        self._ask("tag", reference, name)

    def untag(self, name: str) -> None:
        """Take a name away, and the image if it has no other."""
        programs.ask([self._program, "rmi", name], self._environ, _SECONDS)

    def run(self, reference: str, command: Sequence[str], timeout: float) -> Ran:
        """Run a command in a container that is removed afterwards."""
        if self._is_podman:
            return self._captured(["run", "--rm", "--network=none", reference, *command], timeout)
        found = self._inspect(reference) or {}
        entrypoint = found["OCIv1"]["config"].get("Entrypoint") or []
        container = self._ask("from", "--pull=never", reference).strip()
        try:
            return self._captured(["run", "--network=none", container, "--", *entrypoint, *command], timeout)
        finally:
            programs.ask([self._program, "rm", container], self._environ)

    def _captured(self, words: Sequence[str], timeout: float) -> Ran:
        try:
            done = subprocess.run(
                [self._program, *words],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ran(124, b"", f"it did not end within {timeout:g} s")
        return Ran(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        words = ["image", "inspect"] if self._is_podman else ["inspect", "--type=image"]
        status, text, _ = programs.ask([self._program, *words, reference], self._environ)
        if status != 0:
            return None
        found = json.loads(text)
        value: dict[str, Any] = found[0] if isinstance(found, list) else found
        return value

    # -- the program

    def _ask(self, *words: str | Path) -> str:
        """Run a command; raises EnvironmentProblemError, or StorageFullError, if it fails."""
        status, text, problem = programs.ask([self._program, *words], self._environ, _SECONDS)
        if status != 0:
            programs.raise_if_full(problem)
            raise errors.EnvironmentProblemError(
                f"`{self._program.name} {words[0]}` failed: {_last(problem)}"
            )
        return text

    def _format(self, kind: str) -> list[str]:
        return [f"--format={kind}"] if self._is_podman else []

    @cached_property
    def _program(self) -> Path:
        own = self._environ.get("TRIGGER_BUILDAH")
        if own:
            return Path(own)
        for name in ("podman", "buildah"):
            found = programs.on_path(name, self._environ)
            if found:
                return found[0]
        raise errors.EnvironmentProblemError("neither podman nor buildah is on PATH")

    @property
    def _is_podman(self) -> bool:
        return self._program.name.startswith("podman")


@contextmanager
def _file_of(tar: Iterable[bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="trigger-load-") as name:
        path = Path(name) / "image.tar"
        with path.open("wb") as file:
            for chunk in tar:
                file.write(chunk)
        yield path


def _why(lines: Sequence[str]) -> errors.TriggerError:
    text = "\n".join(lines)
    programs.raise_if_full(text)
    if re.search(r"creating build container|initializing source|pinging container registry", text):
        return errors.BuildError(
            f"the base image cannot be had: {_last(text)}; check build.base_image and the network"
        )
    return errors.BuildError(f"the image could not be built: {_last(text)}")


def _last(text: str) -> str:
    return programs.last_line(text)
