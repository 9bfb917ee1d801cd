"""The official, unmodified SDK against the server, with a toy worker that runs the seed project's tasks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.node.conftest import Drive
from tests.server.toy_worker import MANIFEST, ToyWorker
from triggerdev.engine.engine import Engine
from triggerdev.engine.objects import FolderObjects
from triggerdev.engine.store.sqlite import SqliteStore
from triggerdev.engine.vault import Vault
from triggerdev.protocol import Manifest, TaskInfo
from triggerdev.server.app import create_app
from triggerdev.server.serving import ServerHandle, serve
from triggerdev.server.settings import ServerSettings

pytestmark = pytest.mark.node
KEY = "tr_dev_0123456789abcdefghijklmnopqrstuv"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerHandle]:
    objects, vault = FolderObjects(tmp_path / "objects"), Vault(lambda: b"k" * 32)
    engine = Engine(SqliteStore(tmp_path / "engine.db"), objects=objects, vault=vault)
    await engine.start()
    waits = TaskInfo(id="task-with-waits", file="trigger/basic.py", kind="async")
    await engine.activate("20261123.1", Manifest(**{**MANIFEST, "tasks": [*MANIFEST["tasks"], waits]}))
    ToyWorker(engine, held={"task-with-waits"})
    app = create_app(engine, secret_key=KEY, settings=ServerSettings(data_dir=tmp_path))
    handle = await serve(app, "127.0.0.1", 0)
    yield handle
    await handle.stop()
    await engine.stop()


async def test_every_step_of_the_driver_gives_the_real_results(server: ServerHandle, drive: Drive) -> None:
    results = await drive(server.url, KEY)
    assert [step for step in results.values() if not step["ok"]] == []
    assert len(results) > 10
