"""What every request handler needs: one `Api` for each application, found through the request."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import Request

from triggerdev.server.packets import PacketStore
from triggerdev.server.repeats import Repeats
from triggerdev.server.settings import ServerSettings
from triggerdev.server.subscriptions import Subscriptions
from triggerdev.server.tokens import TokenSigner, UsedTokens

if TYPE_CHECKING:
    from triggerdev.engine.engine import Engine

T = TypeVar("T")


@dataclass(slots=True)
class Api:
    """The engine and everything that the server keeps beside it. `hosts`: names served; None: all."""

    engine: "Engine"
    secret_key: str = field(repr=False)
    settings: ServerSettings
    signer: TokenSigner
    packets: PacketStore
    hosts: set[str] | None = None
    used_tokens: UsedTokens = field(default_factory=UsedTokens)
    repeats: Repeats = field(default_factory=Repeats)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    _stopping: bool = False
    _held: set[asyncio.Task[object]] = field(default_factory=set)

    def now_ms(self) -> int:
        return round(time.time() * 1000)

    def seal(self, message: str) -> str:
        """Sign text with the environment's key: hex HMAC-SHA256."""
        return hmac.new(self.secret_key.encode(), message.encode(), hashlib.sha256).hexdigest()

    def is_seal(self, seal: str, message: str) -> bool:
        return hmac.compare_digest(seal.encode(), self.seal(message).encode())

    def public_url(self, request: Request) -> str:
        """Give the base of URLs in answers, without a trailing slash."""
        return self.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"

    def is_stopping(self) -> bool:
        return self._stopping

    async def hold(self, wait: Callable[[], Awaitable[T]]) -> T | None:
        """Wait for a long poll; None when the server stops meanwhile, so that it can answer."""
        task = asyncio.current_task()
        if task is None or self.is_stopping():
            return None
        self._held.add(task)
        try:
            return await wait()
        except asyncio.CancelledError:
            if not self.is_stopping():
                raise
            task.uncancel()
            return None
        finally:
            self._held.discard(task)

    def is_holding(self) -> bool:
        """Tell whether any long poll waits."""
        return bool(self._held)

    def release(self) -> None:
        """Let every long poll answer now, and every later one at once."""
        self._stopping = True
        for task in list(self._held):
            task.cancel()


def of(request: Request) -> Api:
    api: Api = request.app.state.api
    return api
