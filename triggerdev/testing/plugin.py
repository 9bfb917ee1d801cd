"""The pytest plugin: fixtures for tests of tasks. Nothing is imported before a test asks for one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from triggerdev.testing.sync import SyncEngine


@pytest.fixture
def trigger_tasks() -> Any:
    """The tasks or modules that `trigger_engine` knows; override it. None: all that were defined so far."""
    return None


@pytest.fixture
def trigger_engine_options() -> dict[str, Any]:
    """Options of `trigger_engine`, such as {"now": datetime(2026, 1, 1)}; override it."""
    return {}


@pytest.fixture
def trigger_engine(trigger_tasks: Any, trigger_engine_options: dict[str, Any]) -> "Iterator[SyncEngine]":
    """An engine in memory with a virtual clock; calls such as `my_task.sync.trigger()` go to it."""
    from triggerdev.testing import sync

    with sync.engine(trigger_tasks, **trigger_engine_options) as engine:
        yield engine
