from collections.abc import Iterator

import pytest

from triggerdev.sdk import registry as registries
from triggerdev.sdk.registry import Registry
from triggerdev.testing.plugin import trigger_engine, trigger_engine_options, trigger_tasks

__all__ = ["trigger_engine", "trigger_engine_options", "trigger_tasks"]


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    """A registry of its own for each test."""
    with registries.use(Registry()) as fresh:
        yield fresh
