"""`trigger deploy` with podman, and with buildah alone."""

import json
import shutil
import subprocess

import pytest

from tests.engines.projects import Project
from tests.engines.test_deploy import extension


@pytest.fixture(params=["podman", "buildah"])
def program(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variable that chooses one of the programs."""
    path = shutil.which(request.param)
    assert path is not None, "scripts/docker-engine installs it"
    return {"TRIGGER_BUILDAH": path}


def deploy(project: Project, program: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environ = {**project.engine.podman_environ, **program}
    return project.run("deploy", "--json", "--builder", "buildah", "--progress", "plain", **environ)


def test_it_builds_indexes_and_knows_an_equal_version(project: Project, program: dict[str, str]) -> None:
    command = f'test "$(printf %s "$TOKEN" | wc -c)" = 11 && touch /{project.name}'  # never built before
    extension(project, {"id": "mine", "commands": [command], "build": {"secrets": ["TOKEN"]}})
    program = {**program, "TOKEN": 'a b "c" $d\\'}
    done = deploy(project, program)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert (first["indexed"], [task["id"] for task in first["tasks"]]) == ("image", ["hello"])
    assert "mine: done" in done.stderr
    assert program["TOKEN"] not in done.stdout + done.stderr
    again = json.loads(deploy(project, program).stdout)
    assert (again["version"], again["built"]) == (first["version"], False)


def test_a_command_that_fails_shows_who_asked_for_it(project: Project, program: dict[str, str]) -> None:
    extension(project, {"id": "mine", "commands": ["echo what a pity >&2; exit 7"]})
    done = deploy(project, program)
    assert done.returncode == 1
    assert "error: the layer 'mine' failed: exit code 7" in done.stderr
    assert "asked for by [build.extensions.mine]" in done.stderr
    assert "    what a pity" in done.stderr
