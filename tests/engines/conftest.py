"""Tests with a real container engine and a real registry."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines import machine
from tests.engines.machine import Machine
from tests.engines.projects import TASK, Project


@pytest.fixture(scope="session")
def engine() -> Machine:
    """The Docker engine for tests, with a registry and a base image."""
    return machine.shared()


@pytest.fixture(scope="session")
def make_project(
    engine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Project]]:
    """Make projects with one task; images that they leave in the engine are removed at the end."""
    made: list[Project] = []
    place = tmp_path_factory.mktemp("projects")

    def make() -> Project:
        name = f"test-{uuid.uuid4().hex[:12]}"  # other test runs may use the same engine
        project = Project(place / name, engine, name)
        project.write("trigger/hello.py", TASK)
        project.config()
        made.append(project)
        return project

    yield make
    for project in made:
        named = f"--filter=reference=*/{project.name}"
        for image in engine.docker("images", "--quiet", named).split():
            engine.docker("rmi", "--force", image)


@pytest.fixture
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
