"""Servers on one PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from tests.engine.kit import DEFAULT_TASKS, EngineKit, task
from tests.store import postgres_server
from tests.store.backends import PostgresBackend, make_backend
from triggerdev.engine.leases import Leases
from triggerdev.protocol import TaskInfo

LEASES = Leases(30 * 86_400, 10 * 86_400)
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
    """Two servers whose clocks are one, with the workers wa and wb, and leases of 30 days.

    Clocks that jump by hours would let shorter ones end at any moment.
    """
    first, second = (EngineKit(database, TASKS, (), seed) for seed in (1, 1000))
    first.worker_name, second.worker_name = "wa", "wb"
    second.clock = first.clock
    first.leases = second.leases = LEASES
    await first.open()
    await second.open()
    yield first, second
    await first.close()
    await second.close()
