"""A server over a real engine on a fresh store, with a toy worker, and clients for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.server.toy_worker import MANIFEST, ToyWorker
from triggerdev.engine.engine import Engine
from triggerdev.engine.objects import FolderObjects
from triggerdev.engine.store.sqlite import SqliteStore
from triggerdev.engine.vault import Vault
from triggerdev.server.app import create_app
from triggerdev.server.context import Api
from triggerdev.server.settings import ServerSettings

KEY = "tr_dev_0123456789abcdefghijklmnopqrstuv"
BASE = "http://127.0.0.1:3030"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    objects, vault = FolderObjects(tmp_path / "objects"), Vault(lambda: b"k" * 32)
    engine = Engine(SqliteStore(tmp_path / "engine.db"), objects=objects, vault=vault)
    await engine.start()
    await engine.activate("20261123.1", MANIFEST)
    yield engine
    await engine.stop()


@pytest.fixture
async def worker(engine: Engine) -> ToyWorker:
    return ToyWorker(engine)


@pytest.fixture
def app(engine: Engine, tmp_path: Path) -> FastAPI:
    return create_app(engine, secret_key=KEY, settings=ServerSettings(data_dir=tmp_path))


@pytest.fixture
def api(app: FastAPI) -> Api:
    found: Api = app.state.api
    return found


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        yield client


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the secret key."""
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
        yield client
