"""The kit as fixtures, on each store."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.engine.kit import EngineKit, Worker, engine_kit
from tests.store.backends import Backend, make_backend


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """An empty store's place; `only_sqlite` and `only_postgres` of the kit leave the other out."""
    backend = make_backend(request.param, tmp_path)
    yield backend
    backend.close()


@pytest.fixture
async def kit(backend: Backend) -> AsyncIterator[EngineKit]:
    """An engine that knows the tasks job, child, other (async) and plain (sync)."""
    async with engine_kit(backend) as kit:
        yield kit


@pytest.fixture
def worker(kit: EngineKit) -> Worker:
    return kit.worker
