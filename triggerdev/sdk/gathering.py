"""Triggers that are called in the same moment travel together: one request for all, an answer for each.

Whoever calls notices nothing: each call has its own run or its own error. What a turn of the event loop
brings goes at its end, so a call by itself waits for nobody. A server that does not know the request gets one
for each.
"""

import asyncio
import contextvars
import uuid
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from triggerdev import errors
from triggerdev.sdk import http

MAX_ITEMS = 500
MAX_CHARACTERS = 2_000_000  # of payloads; one that is longer travels by itself
_PATH = "/api/v1/triggers"
_REQUEST_KEY = "x-trigger-request-idempotency-key"
_UNKNOWN_ROUTE = (404, 405)


@dataclass(slots=True)
class _Call:
    task: str
    body: Mapping[str, Any]
    answer: "asyncio.Future[http.Answer]"
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace: Mapping[str, str] = field(default_factory=http.trace_headers)

    @property
    def size(self) -> int:
        return len(self.body.get("payload") or "")

    def give(self, answer: http.Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def trigger(task: str, body: Mapping[str, Any]) -> http.Answer:
    """Send a trigger, together with others where there are any. Raises ApiError, ConnectionFailedError."""
    return await _of_loop(asyncio.get_running_loop()).add(task, body)


async def trigger_alone(
    task: str, body: Mapping[str, Any], key: str | None = None, trace: Mapping[str, str] | None = None
) -> http.Answer:
    """Send a trigger as a request of its own; repeats of one trigger have the same `key`.

    `trace`: the headers of the caller's trace, if that is not where this is called.
    """
    path = f"/api/v1/tasks/{quote(task, safe='')}/trigger"
    headers = {**(trace or {}), **({_REQUEST_KEY: key} if key else {})}
    return await http.request("POST", path, json=body, headers=headers)


class _Gatherer:
    """The calls of one event loop's turn. `_without_route`: servers that do not know the request for many."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._without_route: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, task: str, body: Mapping[str, Any]) -> "asyncio.Future[http.Answer]":
        loop = asyncio.get_running_loop()
        call = _Call(task, body, loop.create_future())
        if not self._calls:
            # not in the context of whoever is first: what is sent is of all
            loop.call_soon(self._send_all, context=contextvars.Context())
        self._calls.append(call)
        return call.answer

    def _send_all(self) -> None:
        calls, self._calls = self._calls, []
        for group in _groups([call for call in calls if not call.answer.done()]):
            sending = asyncio.get_running_loop().create_task(self._send(group))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send(self, group: list[_Call]) -> None:
        try:
            if len(group) == 1 or http.address()[0] in self._without_route:
                await asyncio.gather(*map(_send_alone, group))
            else:
                await self._send_together(group)
        except asyncio.CancelledError:  # the loop shuts down
            for call in group:
                call.answer.cancel()
            raise
        except Exception as error:
            for call in group:
                call.fail(error)

    async def _send_together(self, group: list[_Call]) -> None:
        items = [{"task": call.task, "key": call.key, **call.trace, **call.body} for call in group]
        try:
            answer = await http.request("POST", _PATH, json={"items": items})
        except errors.ApiError as error:
            if error.status not in _UNKNOWN_ROUTE:
                raise
            self._without_route.add(http.address()[0])
            await asyncio.gather(*map(_send_alone, group))
            return
        results = zip(group, answer.body["results"], strict=True)
        await asyncio.gather(*[_send_alone(call) for call, result in results if not _settle(call, result)])


def _groups(calls: list[_Call]) -> Iterator[list[_Call]]:
    group: list[_Call] = []
    size = 0
    for call in calls:
        if group and (len(group) == MAX_ITEMS or size + call.size > MAX_CHARACTERS):
            yield group
            group, size = [], 0
        group.append(call)
        size += call.size
    if group:
        yield group


async def _send_alone(call: _Call) -> None:
    try:
        call.give(await trigger_alone(call.task, call.body, call.key, call.trace))
    except Exception as error:
        call.fail(error)


def _settle(call: _Call, result: Mapping[str, Any]) -> bool:
    """Give a call its result; False if it is worth another try."""
    if "id" in result:
        call.give(http.Answer(result, {"x-trigger-jwt": result["token"]}))
        return True
    status = int(result["status"])
    if status in http.RETRIED or (status >= 500 and result.get("shouldRetry", True)):
        return False
    call.fail(http.refusal(status, str(result["error"]), dict(result)))
    return True


_gatherers: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Gatherer]" = weakref.WeakKeyDictionary()


def _of_loop(loop: asyncio.AbstractEventLoop) -> _Gatherer:
    found = _gatherers.get(loop)
    if found is None:
        found = _gatherers[loop] = _Gatherer()
    return found
