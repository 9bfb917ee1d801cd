"""The Docker engine and the registry for tests that `scripts/docker-engine` starts."""

import functools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "docker-engine"
DOCKER = "/usr/bin/docker"
_NOT_THERE = 3
_SECONDS = 900  # a cold start installs the engine and makes the base image


@dataclass(frozen=True)
class Machine:
    """Where the engine listens, where the registry is ("host:port"), and the image that builds begin with.

    `podman` is a folder with podman's configuration.
    """

    docker_host: str
    registry: str
    base: str
    podman: str

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a command that is to use this engine."""
        return {**os.environ, "DOCKER_HOST": self.docker_host}

    @property
    def podman_environ(self) -> dict[str, str]:
        """What makes podman and buildah use the storage and the registry for tests."""
        names = {"STORAGE_CONF": "storage", "REGISTRIES_CONF": "registries", "CONF": "containers"}
        return {f"CONTAINERS_{name}": f"{self.podman}/{file}.conf" for name, file in names.items()}

    def docker(self, *arguments: str, timeout: float = 300) -> str:
        """Run a docker command and give what it prints."""
        done = subprocess.run(
            [DOCKER, *arguments],
            env={**self.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@functools.cache
def shared() -> Machine:
    """The engine of this machine; skips where none was started, and fails there in CI."""
    command = "start" if os.environ.get("CI") == "true" else "settings"
    done = subprocess.run([SCRIPT, command], capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode == _NOT_THERE:
        _cannot(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    settings = dict(line.split("=", 1) for line in done.stdout.splitlines())
    names = ("DOCKER_HOST", "TRIGGER_TEST_REGISTRY", "TRIGGER_TEST_BASE", "TRIGGER_TEST_PODMAN")
    return Machine(*(settings[name] for name in names))


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
