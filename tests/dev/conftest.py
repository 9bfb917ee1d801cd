"""Copies of the test projects, each test its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dev.kit import PROJECTS


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[str], Path]:
    """Copy a project of tests/projects."""

    def copy(name: str) -> Path:
        target = tmp_path / name
        shutil.copytree(PROJECTS / name, target, ignore=shutil.ignore_patterns("__pycache__", ".trigger"))
        return target

    return copy
