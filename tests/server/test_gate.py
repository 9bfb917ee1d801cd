"""Hosts, browsers, and what nobody has foreseen."""

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from tests.server.conftest import KEY
from triggerdev import errors
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import Environment
from triggerdev.server.app import create_app
from triggerdev.server.context import Api
from triggerdev.server.gate import Gate, host_name
from triggerdev.server.settings import ServerSettings

PATH = "/api/v1/tasks/process-data/trigger"


class BrokenEngine:
    """An engine that answers everything with one error."""

    bodies = None

    environment = Environment()

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: Any, **__: Any) -> None:
            raise self._error

        return fail


async def ask_broken(
    error: Exception, folder: Path, method: str = "POST", path: str = PATH
) -> httpx.Response:
    engine = cast(Engine, BrokenEngine(error))
    app = create_app(engine, secret_key=KEY, settings=ServerSettings(data_dir=folder))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.request(
            method, path, headers={"authorization": f"Bearer {KEY}", "origin": "http://x"}, content=b"{}"
        )


async def test_a_full_disk_is_507_and_not_retried(tmp_path: Path) -> None:
    answer = await ask_broken(errors.StorageFullError("The disk is full."), tmp_path)
    assert (answer.status_code, answer.json()) == (507, {"error": "The disk is full."})
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UnknownTaskError("x", "y"), 404),
        (errors.NoSuchRunError("Run 'x' not found."), 404),
        (errors.InvalidOptionError("ttl: no"), 422),
        (errors.EngineError("refused"), 422),
        (errors.PayloadError("payload: no"), 422),
        (errors.EnvironmentProblemError("read-only folder"), 500),
    ],
)
async def test_errors_of_the_engine_have_a_status(error: Exception, status: int, tmp_path: Path) -> None:
    answer = await ask_broken(error, tmp_path)
    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})


async def test_a_database_that_is_away_is_503_and_is_not_named(tmp_path: Path) -> None:
    answer = await ask_broken(errors.StorageUnavailableError("PostgreSQL at db.internal:5432 ..."), tmp_path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "cannot be reached" in answer.json()["error"]
    assert "db.internal" not in answer.text


async def test_an_engine_that_has_stopped_is_503_and_no_news_for_the_log(
    engine: Engine, app: FastAPI, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.stop()
    asked = await client.get("/api/v3/runs/run_1")
    triggered = await client.post(PATH, json={"payload": 1})
    for answer in (asked, triggered):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json() == {"error": "The server is stopping. Try again."}
    assert caplog.records == []


async def test_while_the_server_stops_connections_are_closed_with_their_next_answer(
    api: Api, client: httpx.AsyncClient
) -> None:
    assert "connection" not in (await client.get("/api/v1/tasks")).headers
    api.release()
    assert (await client.get("/api/v1/tasks")).headers["connection"] == "close"


async def test_requests_that_are_given_up_are_told_to_try_again() -> None:
    told: list[Message] = []
    begun = asyncio.Event()

    async def endless(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody reads the body")

    gate = Gate(endless, None, is_stopping=lambda: True)
    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")]}
    request = asyncio.create_task(gate(scope, receive, send))
    await begun.wait()
    request.cancel()
    await request
    assert told[0]["status"] == 503
    assert (b"retry-after", b"1") in told[0]["headers"]


async def test_the_unforeseen_is_500_without_details_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "triggerdev.server"):
        answer = await ask_broken(RuntimeError("inner secret"), tmp_path)
    assert answer.status_code == 500
    assert answer.json() == {"error": "Something went wrong, please try again."}
    assert answer.headers["access-control-allow-origin"] == "*"
    (record,) = caplog.records
    assert record.getMessage() == "POST /api/v1/tasks/{task_id:path}/trigger failed"
    assert KEY not in caplog.text


async def test_a_callback_url_does_not_reach_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = cast(Engine, BrokenEngine(RuntimeError("x")))
    app = create_app(engine, secret_key=KEY, settings=ServerSettings(data_dir=tmp_path))
    seal = app.state.api.seal("1")
    answer = await ask_broken(
        RuntimeError("x"), tmp_path, path=f"/api/v1/waitpoints/tokens/waitpoint_1/callback/{seal}"
    )
    assert answer.status_code == 500
    assert seal not in caplog.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3030", 200),
        ("localhost", 200),
        ("LOCALHOST:3030", 200),
        ("localhost.", 200),
        ("[::1]:3030", 200),
        ("192.168.1.5:3030", 200),
        ("host.docker.internal:3030", 200),
        ("evil.example", 403),
        ("localhost.evil.example:3030", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
async def test_only_known_hosts_are_served(anonymous: httpx.AsyncClient, host: str, status: int) -> None:
    answer = await anonymous.get("/healthz", headers={"host": host})
    assert answer.status_code == status


async def test_the_host_check_can_be_widened(engine: Engine, tmp_path: Path) -> None:
    async def status(allowed: frozenset[str] | None) -> int:
        settings = ServerSettings(data_dir=tmp_path, allowed_hosts=allowed)
        app = create_app(engine, secret_key=KEY, settings=settings)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://dev.example") as client:
            return (await client.get("/healthz")).status_code

    assert await status(frozenset({"Dev.Example"})) == 200
    assert await status(None) == 200
    assert await status(frozenset()) == 403


def test_a_host_header_is_taken_apart() -> None:
    headers = ("a:1", "A", "a.", "[::1]:5", "[::1]", "a:b", "")
    assert [host_name(header) for header in headers] == ["a", "a", "a", "::1", "::1", "a:b", ""]


async def test_browsers_may_ask_from_anywhere(app: FastAPI, anonymous: httpx.AsyncClient) -> None:
    asked = {
        "origin": "https://app.example",
        "access-control-request-headers": "authorization,x-trigger-client",
    }
    preflight = await anonymous.options(PATH, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-trigger-client"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    headers = {"origin": "https://app.example", "authorization": f"Bearer {KEY}"}
    answer = await anonymous.post(PATH, json={}, headers=headers)
    assert answer.headers["access-control-expose-headers"] == "*"
    refused = await anonymous.post(PATH, json={}, headers={"origin": "https://app.example"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
