"""Servers on one PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from tests.engine.kit import DEFAULT_TASKS, EngineKit, task
from tests.store import postgres_server
from tests.store.backends import PostgresBackend, make_backend
from triggerdev.protocol import TaskInfo

TASKS: tuple[TaskInfo, ...] = (
    *DEFAULT_TASKS,
    task("narrow", queue={"name": "narrow", "concurrency_limit": 3}),
    task("every-minute", schedule={"cron": "* * * * *", "timezone": "UTC"}),
)


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> PostgresBackend:
    """An empty schema."""
    backend = make_backend("postgres", tmp_path_factory.getbasetemp())
    assert isinstance(backend, PostgresBackend)
    return backend


@pytest.fixture
def postgres_url(database: PostgresBackend) -> str:
    return postgres_server.shared_url()


@pytest.fixture
async def pair(database: PostgresBackend) -> AsyncIterator[tuple[EngineKit, EngineKit]]:
    """Two servers whose clocks are one, with the workers wa and wb."""
    first, second = (EngineKit(database, TASKS, (), seed) for seed in (1, 1000))
    first.worker_name, second.worker_name = "wa", "wb"
    second.clock = first.clock
    await first.open()
    await second.open()
    yield first, second
    await first.close()
    await second.close()
