"""No file of tests is left out by the name of its folder."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_every_folder_of_tests_is_looked_into(request: pytest.FixtureRequest) -> None:
    patterns = request.config.getini("norecursedirs")
    files = [path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")]
    left_out = [
        str(path)
        for path in files
        if any(fnmatch(part, pattern) for part in path.parts[:-1] for pattern in patterns)
    ]
    assert len(files) > 100
    assert left_out == []
