"""Docker: images are built by its command line, since its API cannot drive BuildKit, and kept by its API."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triggerdev import errors
from triggerdev.build.backends import buildkit, features, programs
from triggerdev.build.backends.protocol import BuildRequest, Capabilities, Ran
from triggerdev.build.backends.secret_files import secret_files
from triggerdev.build.progress import Progress

if TYPE_CHECKING:
    import docker

_WITHOUT_BUILDX = 23
"""From this version on, the command line builds with the plugin buildx, or not with BuildKit at all."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "FTP_PROXY", "ALL_PROXY")
_API_SECONDS = 600
_SOON = 10
_NO_BUILDKIT = (
    "Docker is there, but none of its command lines can build with BuildKit ({found}). Install the package "
    "docker-buildx-plugin (Debian: docker-buildx), or use Docker 20.10 to 22"
)


class Docker:
    """The Docker that DOCKER_HOST or the current context names.

    TRIGGER_DOCKER in the environment names the command line to use; else the first on PATH that has BuildKit.
    """

    name = "docker"
    program = "docker"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    # -- building

    def probe(self) -> Capabilities:
        """Find a command line with BuildKit, and try what Containerfiles it understands."""
        self.ping()
        whole: dict[str, Any] = self._call(lambda client: client.info())
        version = str(whole.get("ServerVersion", ""))
        return Capabilities(
            self.name,
            version,
            f"{whole.get('OSType', 'linux')}/{_architecture(str(whole.get('Architecture', '')))}",
            **features.tried(self._builds),
        )

    def build(self, request: BuildRequest, progress: Progress) -> None:
        """Build a folder with BuildKit."""
        client, words = self._builder
        reader = buildkit.Reader(request.steps, progress)
        with secret_files(request.secrets) as secrets:
            command: list[str | Path] = [
                client,
                *words,
                "--progress=plain",
                f"--file={request.folder / 'Containerfile'}",
            ]
            command += [f"--tag={request.tag}"]
            command += [f"--platform={request.platform}"]
            command += ["--no-cache"] if request.no_cache else []
            command += [] if request.network == "default" else [f"--network={request.network}"]
            command += [f"--build-arg={name}" for name in self._proxies()]
            command += [f"--secret=id={name},src={path}" for name, path in secrets.items()]
            status = programs.follow([*command, request.folder], self._env, reader.feed)
        if status != 0:
            raise reader.failed or _why(list(reader.tail), request)

    def _proxies(self) -> list[str]:
        """Name the proxy settings; their values come from the environment and are stored nowhere."""
        names = [name for base in _PROXIES for name in (base, base.lower())]
        return [name for name in names if self._environ.get(name)]

    @cached_property
    def _builder(self) -> tuple[Path, list[str]]:
        """Give a command line that builds with BuildKit, and its words for building."""
        refused = []
        for client in self._clients:
            if programs.ask([client, "buildx", "version"], self._env)[0] == 0:
                return client, ["buildx", "build", "--load", "--provenance=false"]
            version = programs.ask([client, "--version"], self._env)[1]
            number = re.search(r"(\d+)\.", version)
            if number and int(number[1]) < _WITHOUT_BUILDX:
                return client, ["build"]
            refused.append(f"{client} is {number[0] + 'x' if number else 'unknown'} without buildx")
        raise errors.EnvironmentProblemError(_NO_BUILDKIT.format(found=", ".join(refused)))

    @cached_property
    def _clients(self) -> list[Path]:
        own = self._environ.get("TRIGGER_DOCKER")
        found = [Path(own)] if own else programs.on_path("docker", self._environ)
        if not found:
            raise errors.EnvironmentProblemError(
                "there is no program docker on PATH; install Docker, or name its place in TRIGGER_DOCKER"
            )
        return found

    @property
    def _env(self) -> dict[str, str]:
        return {**self._environ, "DOCKER_BUILDKIT": "1", "DOCKER_CLI_HINTS": "false"}

    def _builds(self, folder: Path) -> bool:
        client, words = self._builder
        command = [word for word in words if word != "--load"]
        output = f"--output=type=local,dest={folder / 'out'}"
        file = f"--file={folder / 'Containerfile'}"
        return programs.ask([client, *command, "--quiet", file, output, folder], self._env)[0] == 0

    # -- images

    def ping(self) -> None:
        """Make sure that the engine answers. Raises EnvironmentProblemError that says what to do."""
        if not self._host.startswith("unix://"):
            self._call(lambda client: client.ping())
            return
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SOON)
            try:
                connection.connect(self._host.removeprefix("unix://"))
            except OSError as error:
                raise self._unreachable(error) from None

    def close(self) -> None:
        """Close the connections to the engine."""
        if "_client" in vars(self):
            self._client.close()
            del self._client

    def diff_ids(self, reference: str) -> list[str] | None:
        """Give the layers of an image that the engine has, bottom first."""
        found = self._inspect(reference)
        return None if found is None else list(found["RootFS"].get("Layers") or [])

    def image_id(self, reference: str) -> str | None:
        """Give the digest of an image's config."""
        found = self._inspect(reference)
        return None if found is None else str(found["Id"])

    def pull(self, reference: str, platform: str) -> None:
        """Get an image from its registry, with the credentials that Docker has."""
        status, _, problem = programs.ask(
            [self._clients[0], "pull", "--quiet", f"--platform={platform}", reference],
            self._env,
            _API_SECONDS,
        )
        if status != 0:
            raise errors.EnvironmentProblemError(f"cannot pull {reference}: {programs.last_line(problem)}")

    def save(self, reference: str, path: Path) -> None:
        """Write an image as a tar."""

        def write(client: docker.DockerClient) -> None:
            with path.open("wb") as file:
                for chunk in client.api.get_image(reference):
                    file.write(chunk)

        self._call(write)

    def load(self, tar: Iterable[bytes]) -> None:
        """Take an image from a tar. Raises BuildError if the engine refuses it."""
        answers: list[dict[str, Any]] = self._call(lambda client: list(client.api.load_image(_joined(tar))))
        for answer in answers:
            problem = answer.get("error")
            if problem:
                programs.raise_if_full(str(problem))
                raise errors.BuildError(f"the engine cannot load the image: {problem}")

    def loads_thin(self) -> bool:
        """Tell whether the engine has its classic store; containerd's wants every blob."""
        whole: dict[str, Any] = self._call(lambda client: client.info())
        driver = dict(whole.get("DriverStatus") or []).get("driver-type", "")
        return not str(driver).startswith("io.containerd")

    def untag(self, name: str) -> None:
        """Take a name away; layers that other images have stay."""
        from docker.errors import ImageNotFound

        def remove(client: docker.DockerClient) -> None:
            with contextlib.suppress(ImageNotFound):
                client.api.remove_image(name)

        self._call(remove)

    def tag(self, reference: str, name: str) -> None:
        """Give an image another name."""
        repository, _, tag = name.rpartition(":")
        self._call(lambda client: client.api.tag(reference, repository, tag))

    def run(self, reference: str, command: Sequence[str], timeout: float) -> Ran:
        """Run a command in a container that is removed afterwards."""
        ran: Ran = self._call(lambda client: _run(client, reference, command, timeout))
        return ran

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        from docker.errors import ImageNotFound

        def inspect(client: docker.DockerClient) -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = client.api.inspect_image(reference)
            except ImageNotFound:
                return None
            return found

        found: dict[str, Any] | None = self._call(inspect)
        return found

    def _call(self, action: Any) -> Any:
        """Do something with the API; its errors become ours."""
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        try:
            return action(self._client)
        except APIError as error:
            programs.raise_if_full(str(error.explanation))
            raise errors.EnvironmentProblemError(f"Docker refused: {error.explanation}") from None
        except (DockerException, RequestException, OSError) as error:
            raise self._unreachable(error) from None

    @cached_property
    def _client(self) -> docker.DockerClient:
        import docker

        host = self._host
        if self._environ.get("DOCKER_HOST"):
            return docker.from_env(
                environment=self._environ, timeout=_API_SECONDS, use_ssh_client=host.startswith("ssh:")
            )
        return docker.DockerClient(host, timeout=_API_SECONDS, use_ssh_client=host.startswith("ssh:"))

    @cached_property
    def _host(self) -> str:
        """Give the engine's address: DOCKER_HOST, else that of the context, else Docker's own."""
        own = self._environ.get("DOCKER_HOST")
        if own:
            return own
        for client in self._clients[:1]:
            status, text, _ = programs.ask([client, "context", "inspect"], self._env)
            if status == 0:
                try:
                    return str(json.loads(text)[0]["Endpoints"]["docker"]["Host"])
                except (ValueError, LookupError, TypeError):
                    pass  # an older one, whose only engine is at the usual place
        return "unix:///var/run/docker.sock"

    def _unreachable(self, error: BaseException) -> errors.EnvironmentProblemError:
        text = str(error)
        if "Permission denied" in text:
            return errors.EnvironmentProblemError(
                f"this user may not use the Docker engine at {self._host}; run `sudo usermod -aG docker "
                "$USER` and log in again, or set DOCKER_HOST to one that you may use"
            )
        return errors.EnvironmentProblemError(
            f"the Docker engine at {self._host} does not answer; start it, or set DOCKER_HOST to another"
        )


def _run(client: docker.DockerClient, reference: str, command: Sequence[str], timeout: float) -> Ran:
    from requests.exceptions import ConnectionError as Disconnected
    from requests.exceptions import ReadTimeout

    container = client.containers.create(reference, list(command), network_mode="none", detach=True)
    try:
        container.start()
        try:
            status = int(container.wait(timeout=timeout)["StatusCode"])
        except (ReadTimeout, Disconnected):
            return Ran(124, b"", f"it did not end within {timeout:g} s")
        stdout: bytes = container.logs(stdout=True, stderr=False)
        stderr: bytes = container.logs(stdout=False, stderr=True)
        return Ran(status, stdout, stderr.decode("utf-8", "replace"))
    finally:
        container.remove(force=True)


def _joined(chunks: Iterable[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Join small chunks: each one becomes a frame of the request."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        if len(pending) >= size:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)


def _architecture(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _why(lines: Sequence[str], request: BuildRequest) -> errors.TriggerError:
    """Say why a build has failed that came to no instruction, or failed outside of one."""
    text = "\n".join(lines)
    programs.raise_if_full(text)
    base = re.search(
        r"(?:failed to (?:resolve source|load) metadata for|pull access denied for|load metadata for) (\S+)",
        text,
    )
    if base and ("not found" in text or "denied" in text or "no such host" in text or "dial tcp" in text):
        return errors.BuildError(
            f"the base image {base[1].rstrip(':,')} cannot be had: {programs.last_line(text)}; check "
            "build.base_image, the network, and `docker login` if the registry is private"
        )
    return errors.BuildError(f"the engine could not build the image: {programs.last_line(text)}")
