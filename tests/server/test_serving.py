"""The port, and a server on it."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.server import ask
from tests.server.conftest import KEY
from triggerdev import errors
from triggerdev.server.listening import bind, port_holder
from triggerdev.server.serving import ServerHandle, serve

HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
async def server(app: FastAPI) -> AsyncIterator[ServerHandle]:
    handle = await serve(app, "127.0.0.1", 0)
    yield handle
    await handle.stop()


@pytest.fixture
async def over_http(server: ServerHandle) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers=HEADERS) as client:
        yield client


async def test_requests_are_answered_over_a_socket(over_http: httpx.AsyncClient) -> None:
    run_id = await ask.trigger(over_http, "a%2Fb%20c")
    assert (await ask.run(over_http, run_id))["taskIdentifier"] == "a/b c"
    assert "server" not in (await over_http.get("/healthz")).headers


async def test_stopping_answers_long_polls_and_frees_the_port(app: FastAPI) -> None:
    handle = await serve(app, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=handle.url, headers=HEADERS) as client:
        run_id = await ask.trigger(client, "held")
        rev = (await ask.run(client, run_id))["rev"]
        poll = asyncio.create_task(ask.run(client, run_id, wait=20, since=rev))
        while not app.state.api.is_holding():
            await asyncio.sleep(0)
        await asyncio.wait_for(handle.stop(), 4)
        assert (await poll)["status"] == "QUEUED"
    bind("127.0.0.1", handle.port, exact=True).close()


async def test_serving_leaves_the_signal_handlers_alone(app: FastAPI) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    handle = await serve(app, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=handle.url) as client:
        await client.get("/healthz")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    await handle.stop()


async def test_the_key_is_not_in_a_representation(app: FastAPI, server: ServerHandle) -> None:
    assert KEY not in repr(server) + repr(app.state.api)


async def test_connections_wait_until_somebody_serves(app: FastAPI) -> None:
    sock = bind("127.0.0.1", 0, exact=True)
    port = sock.getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        asking = asyncio.create_task(client.get("/healthz"))
        await asyncio.sleep(0)
        handle = await serve(app, "127.0.0.1", port, sock)
        assert (await asking).status_code == 200
    await handle.stop()


def test_the_next_free_port_is_taken() -> None:
    with bind("127.0.0.1", 0, exact=True) as taken:
        port = taken.getsockname()[1]
        with bind("127.0.0.1", port, exact=False) as found:
            assert port < found.getsockname()[1] < port + 100


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with bind("127.0.0.1", 0, exact=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.EnvironmentProblemError, match=f"Port {port} on 127.0.0.1 is taken"):
            bind("127.0.0.1", port, exact=True)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens")
def test_the_holder_of_a_port_is_named() -> None:
    import os

    with bind("127.0.0.1", 0, exact=True) as taken:
        holder = port_holder(taken.getsockname()[1])
    assert holder is not None
    assert f"(pid {os.getpid()})" in holder
    assert port_holder(1) is None


@pytest.mark.parametrize(
    ("host", "said"), [("no.such.host.invalid", "no address"), ("192.0.2.1", "no address of this")]
)
def test_a_host_that_cannot_be_is_explained(host: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(name: str, *rest: object, **more: object) -> object:
        if name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(name, *rest, **more)  # type: ignore[arg-type] # passed through as they came

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(errors.EnvironmentProblemError, match=said):
        bind(host, 3030, exact=False)
