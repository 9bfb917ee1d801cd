"""Repeats of one call: a client that got no answer sends the request again, with the same request key."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")

_KEPT = 10_000
_MAX_KEY_LENGTH = 128
_HEADER = "x-trigger-request-idempotency-key"


class Repeats:
    """Answers of recent calls by request key; a repeat gets the first call's, also while that is under way.

    What outlives a restart is the engine's: calls get the key and hand it on.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[str, asyncio.Future[Any]] = OrderedDict()

    async def once(self, request: Request, call: Callable[[str | None], Awaitable[T]]) -> T:
        """Make the call unless this request repeats one; refused calls are not kept."""
        return await self.once_by_key(request.url.path, request.headers.get(_HEADER), call)

    async def once_by_key(self, path: str, name: str | None, call: Callable[[str | None], Awaitable[T]]) -> T:
        """Make the call unless one of the same path and name was made."""
        if not name or len(name) > _MAX_KEY_LENGTH:
            return await call(None)
        key = f"{path} {name}"
        known = self._answers.get(key)
        if known is not None:
            answer: T = await asyncio.shield(known)
            return answer
        return await self._first(key, call)

    async def _first(self, key: str, call: Callable[[str | None], Awaitable[T]]) -> T:
        future = self._answers[key] = asyncio.get_running_loop().create_future()
        if len(self._answers) > _KEPT:
            self._answers.popitem(last=False)
        try:
            answer = await call(key)
        except BaseException as error:
            self._answers.pop(key, None)
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()  # whoever repeats gets it; without a repeat nobody must be told
            else:
                future.cancel()
            raise
        future.set_result(answer)
        return answer
