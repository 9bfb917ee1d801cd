"""Copies of the test projects, each test its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dev.kit import copied


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[str], Path]:
    """Copy a project of tests/projects."""

    def copy(name: str) -> Path:
        return copied(name, tmp_path / name)

    return copy
