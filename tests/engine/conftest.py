"""The kit as fixtures."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.kit import EngineKit, Worker, engine_kit


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[EngineKit]:
    """An engine that knows the tasks job, child, other (async) and plain (sync)."""
    async with engine_kit(tmp_path) as kit:
        yield kit


@pytest.fixture
def worker(kit: EngineKit) -> Worker:
    return kit.worker
