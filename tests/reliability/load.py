"""The load: clients that trigger with idempotency keys, repeat what was not answered, follow their runs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.reliability.mix import Order

_TRY_AGAIN = (503, 507)
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 0.4
_POLL_SECONDS = 15
_OPEN = "DELAYED,QUEUED,EXECUTING,WAITING"


@dataclass(slots=True)
class Accepted:
    """A run that the server has promised to execute. `seen` is what its client was told of its end."""

    order: Order
    run: str
    seen: dict[str, Any] | None = None


@dataclass(slots=True)
class Load:
    """What was sent and answered so far. The server may come and go while clients repeat their calls."""

    accepted: list[Accepted] = field(default_factory=list)
    finished: int = 0
    repeated: int = 0
    progress: asyncio.Event = field(default_factory=asyncio.Event)
    _servers: list[httpx.AsyncClient] = field(default_factory=list)
    _calls: int = 0

    def serve(self, url: str, key: str) -> None:
        """Say where a server is; if there are several, calls go to each in turn."""
        self._servers.append(
            httpx.AsyncClient(
                base_url=url,
                headers={"Authorization": f"Bearer {key}"},
                timeout=httpx.Timeout(30, pool=None),
                limits=httpx.Limits(max_connections=None),
                trust_env=False,
            )
        )

    async def run(self, orders: Sequence[Order], clients: int) -> None:
        """Trigger everything, each client one after the other, following each run to its end."""
        left = iter(orders)

        async def client() -> None:
            for order in left:
                await self.follow(await self.trigger(order))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(clients, len(orders))):
                group.create_task(client())

    async def trigger(self, order: Order) -> Accepted:
        """Trigger until it is answered; the key makes it one run however often that takes."""
        body = {"payload": order.payload, "options": {"idempotencyKey": order.key}}
        answer = await self._call("POST", f"/api/v1/tasks/{order.task}/trigger", body)
        made = Accepted(order, str(answer["id"]))
        self.accepted.append(made)
        return made

    async def follow(self, accepted: Accepted) -> None:
        """Wait for the end of a run by long polls, and keep what is said of it."""
        while True:
            found = await self._call("GET", f"/api/v3/runs/{accepted.run}?wait={_POLL_SECONDS}")
            if found["isCompleted"]:
                break
        accepted.seen = found
        self.finished += 1
        self.progress.set()

    async def until(self, finished: int) -> None:
        """Wait until so many runs have ended before their clients."""
        while self.finished < finished:
            self.progress.clear()
            await self.progress.wait()

    async def drain(self) -> None:
        """Wait until no run is left that has not ended, of those too that nobody follows."""
        while (await self._call("GET", f"/api/v1/runs?filter[status]={_OPEN}&page[size]=1"))["data"]:
            await asyncio.sleep(_FIRST_PAUSE)

    async def close(self) -> None:
        for server in self._servers:
            await server.aclose()

    @property
    def _http(self) -> httpx.AsyncClient:
        """The server whose turn it is."""
        self._calls += 1
        return self._servers[self._calls % len(self._servers)]

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the server, again and again while it is not there or says that it cannot now."""
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = await self._http.request(method, path, json=body)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.is_success:
                return answer.json()
            if answer is not None and answer.status_code not in _TRY_AGAIN:
                raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
            self.repeated += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
