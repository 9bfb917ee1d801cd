"""The official, unmodified SDK against `trigger dev` on the seed project, with the tasks' real results."""

from pathlib import Path

import pytest

from tests.dev.kit import copied, start
from tests.node.conftest import Drive

pytestmark = pytest.mark.node

STEPS = """
    trigger batch largeBatch mixedBatch retrieve list cancel replay failing unknown idempotency largePayload
    publicTokens waitTokens schedules queues debounce subscribeToRun subscribeToRunsWithTag subscribeToBatch
    waits
""".split()  # noqa: SIM905 - a list of words reads better


async def test_the_official_sdk_drives_the_seed_project(tmp_path: Path, drive: Drive) -> None:
    async with start(copied("seed", tmp_path / "project")) as dev:
        values = dev.env_file()
        results = await drive(values["TRIGGER_API_URL"], values["TRIGGER_SECRET_KEY"], *STEPS)
    assert [step for step in results.values() if not step["ok"]] == []
    assert set(results) == set(STEPS)
