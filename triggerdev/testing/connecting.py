"""Calls from outside of runs, such as `my_task.trigger(...)` in a backend: they go to the engine of the test.

They pass the real HTTP client and the real server; only the network between them is missing.
"""

import asyncio
import contextlib
import contextvars
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triggerdev.engine.engine import Engine
from triggerdev.sdk import http

if TYPE_CHECKING:
    import httpx

_KEY = "tr_test_key"
_URL = "http://engine.test"


@contextlib.contextmanager
def connected(engine: Engine) -> Iterator[None]:
    """Send the SDK's requests to an engine that runs on this loop, in a with block."""
    before = http._configured  # put back as it was: a conftest may have called `configure` itself
    transport = _Transport(engine, asyncio.get_running_loop())
    http.configure(api_url=_URL, secret_key=_KEY, max_tries=1, transport=transport)
    try:
        yield
    finally:
        http._configured = before
        http._clients.forget()
        transport.clean_up()


class _Transport:
    """A transport of httpx, for both its clients; FastAPI is imported at the first request."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._inner: httpx.ASGITransport | None = None
        self._folder: Path | None = None

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response":
        await request.aread()
        if asyncio.get_running_loop() is not self._loop:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._ask(request), self._loop))
        # apart from a run that asks: what the server starts is no branch of it
        return await self._loop.create_task(self._ask(request), context=contextvars.Context())

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        request.read()
        return asyncio.run_coroutine_threadsafe(self._ask(request), self._loop).result()

    async def _ask(self, request: "httpx.Request") -> "httpx.Response":
        import httpx

        asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        answer = await self._server().handle_async_request(asked)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def _server(self) -> "httpx.ASGITransport":
        if self._inner is None:
            import httpx

            from triggerdev.server.app import create_app
            from triggerdev.server.settings import ServerSettings

            self._folder = Path(tempfile.mkdtemp(prefix="triggerdev-test-"))
            settings = ServerSettings(data_dir=self._folder, allowed_hosts=None)
            app: Any = create_app(self._engine, secret_key=_KEY, settings=settings)
            self._inner = httpx.ASGITransport(app)
        return self._inner

    def clean_up(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None: ...

    async def aclose(self) -> None: ...

    def __enter__(self) -> "_Transport":
        return self

    def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> "_Transport":
        return self

    async def __aexit__(self, *_: object) -> None: ...
