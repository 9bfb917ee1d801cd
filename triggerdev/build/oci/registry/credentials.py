"""Who we are to a registry: what `docker login` and `podman login` have kept."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev.build.oci.registry.reference import DOCKER_HUB

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HELPER_TIMEOUT = 30.0
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", DOCKER_HUB)


@dataclass(frozen=True)
class Credentials:
    """A user and a password, or a token that stands for both."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """Write the header of Basic authentication."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def find(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    """Find the credentials for a registry, None if nobody has logged in to it.

    Raises EnvironmentProblemError for a file that cannot be read and for a helper that fails.
    """
    for path in _files(environ):
        found = _in_file(path, _names(registry))
        if found:
            return found
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or Path.home())
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if environ.get("REGISTRY_AUTH_FILE"):
        yield Path(environ["REGISTRY_AUTH_FILE"])
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"


def _names(registry: str) -> tuple[str, ...]:
    """Give the names under which a registry may be known."""
    if registry == DOCKER_HUB:
        return _HUB_KEYS
    return (registry, f"https://{registry}", f"https://{registry}/", f"http://{registry}")


def _in_file(path: Path, names: tuple[str, ...]) -> Credentials | None:
    try:
        whole = json.loads(path.read_bytes())
        helpers, auths = whole.get("credHelpers") or {}, whole.get("auths") or {}
        store = whole.get("credsStore")
        for name in names:
            if name in helpers:
                return _from_helper(helpers[name], name)
            if name in auths and (found := _from_entry(auths[name])):
                return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError):
        raise errors.EnvironmentProblemError(f"cannot read {path}, which `docker login` writes") from None
    return _from_helper(store, names[0]) if store else None


def _from_entry(entry: Mapping[str, Any]) -> Credentials | None:
    token = str(entry.get("identitytoken") or "")
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        return Credentials(user, password.rstrip("\0"), token)
    if entry.get("username"):
        return Credentials(str(entry["username"]), str(entry.get("password", "")), token)
    return Credentials("", "", token) if token else None


def _from_helper(helper: str, name: str) -> Credentials | None:
    if not isinstance(helper, str) or not _HELPER.fullmatch(helper):
        raise errors.EnvironmentProblemError(f"{helper!r} cannot be the name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        ran = subprocess.run(
            [program, "get"], input=name.encode(), capture_output=True, timeout=_HELPER_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise errors.EnvironmentProblemError(
            f"{program}, which docker's config.json names for {name}, is not on PATH"
        ) from None
    except subprocess.TimeoutExpired:
        raise errors.EnvironmentProblemError(f"{program} did not answer within 30 s") from None
    if ran.returncode:
        if b"not found" in ran.stdout + ran.stderr:
            return None
        raise errors.EnvironmentProblemError(f"{program} failed (exit code {ran.returncode}) for {name}")
    return _from_answer(ran.stdout, program)


def _from_answer(data: bytes, program: str) -> Credentials | None:
    try:
        answer = json.loads(data)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise errors.EnvironmentProblemError(f"{program} gave no credentials that can be read") from None
    return Credentials("", "", secret) if user == "<token>" else Credentials(user, secret)
