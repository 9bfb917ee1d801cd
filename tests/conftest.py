"""The order in which the files of tests are handed to processes."""

import pytest

LONG = ("tests/engines/", "tests/reliability/")
"""Files here take minutes: they come first, so that none is left over when all others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
