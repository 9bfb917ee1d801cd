"""Serving the application inside a loop that runs already."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI

from triggerdev.server.context import Api
from triggerdev.server.listening import bind

_KEEP_ALIVE_S = 75
_GRACE_S = 5
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: whoever owns the loop owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class ServerHandle:
    """A server that accepts connections. `url` is its address, with the port that was found."""

    url: str
    port: int
    _server: _Server = field(repr=False)
    _task: asyncio.Task[None] = field(repr=False)
    _api: Api = field(repr=False)

    async def stop(self) -> None:
        """Answer long polls, let other requests end (5 s at most), close every connection and the port."""
        self._api.release()
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)


async def serve(app: FastAPI, host: str, port: int, sock: socket.socket | None = None) -> ServerHandle:
    """Start serving and return once connections are accepted.

    `sock` is a listening socket from `listening.bind`; without it exactly `port` is bound. Raises
    EnvironmentProblemError when that cannot be had.
    """
    sock = sock or bind(host, port, exact=True)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[sock])
    api: Api = app.state.api
    if api.hosts is not None:
        api.hosts.add(host.lower())
    task = asyncio.create_task(_run(server, sock), name="http-server")
    found = sock.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    return ServerHandle(f"http://{shown}:{found}", found, server, task, api)


async def _run(server: _Server, sock: socket.socket) -> None:
    await server.main_loop()
    await server.shutdown(sockets=[sock])
