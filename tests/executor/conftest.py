from collections.abc import Iterator

import pytest

from triggerdev.sdk import registry as registries
from triggerdev.sdk.registry import Registry


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    """A registry of its own for each test."""
    with registries.use(Registry()) as fresh:
        yield fresh
