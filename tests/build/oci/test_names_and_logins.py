"""Names of images, and where the credentials for a registry come from."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from triggerdev import errors
from triggerdev.build.oci.registry.credentials import Credentials, find
from triggerdev.build.oci.registry.reference import Reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "whole", "host"),
    [
        ("python", "docker.io/library/python:latest", "registry-1.docker.io"),
        ("python:3.12-slim", "docker.io/library/python:3.12-slim", "registry-1.docker.io"),
        ("acme/app", "docker.io/acme/app:latest", "registry-1.docker.io"),
        ("index.docker.io/acme/app", "docker.io/acme/app:latest", "registry-1.docker.io"),
        ("docker.io/python", "docker.io/library/python:latest", "registry-1.docker.io"),
        ("localhost/app", "localhost/app:latest", "localhost"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000"),
        ("r.example.com/a", "r.example.com/a:latest", "r.example.com"),
        (f"r.example.com/a@{DIGEST}", f"r.example.com/a@{DIGEST}", "r.example.com"),
        (f"r.example.com/a:1@{DIGEST}", f"r.example.com/a:1@{DIGEST}", "r.example.com"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000"),
    ],
)
def test_a_name_is_read_as_docker_does(text: str, whole: str, host: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference), reference.host) == (whole, host)
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        *("", "A", "a b", "a:", "a/", "/a", "a//b", "http://a/b", "a@sha256:1", "a@", "a:x/y", "-a.b/c"),
        *("a\nb", "a:b:c", "a" * 300, "u:p@r.example.com/a", "../a", "r.example.com:99999999/a", "a:.x"),
        "r.example.com/",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(errors.BuildError):
        Reference.parse(text)


def entry(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def config(folder: Path, value: Any) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return {"DOCKER_CONFIG": str(folder), "HOME": str(folder)}


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("r.example.com", "r.example.com"),
        ("r.example.com:5000", "https://r.example.com:5000"),
        ("docker.io", "https://index.docker.io/v1/"),
    ],
)
def test_logins_are_in_dockers_config(tmp_path: Path, registry: str, name: str) -> None:
    environ = config(tmp_path, {"auths": {name: entry("ann", "a:b"), "other": entry("x", "y")}})
    assert find(registry, environ) == Credentials("ann", "a:b")
    assert find("unknown.example.com", environ) is None


def test_podmans_logins_are_known_too(tmp_path: Path) -> None:
    environ = config(tmp_path / "docker", {"auths": {}})
    podman = tmp_path / "run" / "containers"
    podman.mkdir(parents=True)
    (podman / "auth.json").write_text(json.dumps({"auths": {"r": entry("ann", "b")}}))
    assert find("r", environ) is None
    assert find("r", environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run")}) == Credentials("ann", "b")
    assert find("r", environ | {"REGISTRY_AUTH_FILE": str(podman / "auth.json")}) == Credentials("ann", "b")


def test_an_identity_token_stands_for_a_password(tmp_path: Path) -> None:
    environ = config(tmp_path, {"auths": {"r": {"identitytoken": "long"}}})
    assert find("r", environ) == Credentials("", identity_token="long")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": 3}', '{"auths": {"r": {"auth": "%%"}}}', '{"auths": {"r": 1}}']
)
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(errors.EnvironmentProblemError, match=r"cannot read .*config\.json"):
        find("r", config(tmp_path, text))


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a credential helper named "test" on PATH."""
    path = folder / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


ANSWER = """test "$1" = get || exit 2
printf '{"ServerURL": "%s", "Username": "ann", "Secret": "from the helper"}' "$(cat)"
"""


@pytest.mark.parametrize("kind", ["credHelpers", "credsStore"])
def test_a_helper_knows_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    helper(tmp_path, monkeypatch, ANSWER)
    value = {"credHelpers": {"r": "test"}} if kind == "credHelpers" else {"credsStore": "test"}
    assert find("r", config(tmp_path, value)) == Credentials("ann", "from the helper")


def test_a_helpers_token_is_an_identity_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """printf '{"Username": "<token>", "Secret": "long"}'""")
    found = find("r", config(tmp_path, {"credsStore": "test"}))
    assert found == Credentials("", identity_token="long")


def test_a_helper_that_knows_nobody_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    assert find("r", config(tmp_path, {"credsStore": "test"})) is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo secret; exit 3", r"failed \(exit code 3\)"),
        ("echo no json", "gave no credentials"),
        ("echo []", "gave no"),
    ],
)
def test_a_helper_that_fails_is_named_without_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    helper(tmp_path, monkeypatch, script)
    with pytest.raises(errors.EnvironmentProblemError, match=message) as raised:
        find("r", config(tmp_path, {"credsStore": "test"}))
    assert "secret" not in str(raised.value)


def test_a_helper_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.EnvironmentProblemError, match=r"docker-credential-gone.* is not on PATH"):
        find("r", config(tmp_path, {"credsStore": "gone"}))


@pytest.mark.parametrize("name", ["../evil", "a b", "", "-x", 3])
def test_a_helper_cannot_be_any_program(tmp_path: Path, name: object) -> None:
    with pytest.raises(errors.EnvironmentProblemError, match="cannot be the name"):
        find("r", config(tmp_path, {"credHelpers": {"r": name}}))
