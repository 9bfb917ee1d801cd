"""Large payloads and outputs: put into an object store before a commit, brought back for workers.

The engine's commands and its database see references only: text that is a key, of the type
`application/store`. An object is written before the row that names it, under a key that is used once; so what
no row names after a day is an orphan, of a process that was killed in between or of a row that is deleted.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.engine.clock import Clock, IdSource
from triggerdev.engine.model import TriggerItem
from triggerdev.engine.objects.protocol import Body, ObjectStore
from triggerdev.protocol import STORED, Message

FOLDER = "bodies"
UPLOADS = "packets"
KEPT_MS = 86_400_000  # an object that nothing names: a commit may still be on its way
_AT_ONCE = 8
_JSON = "application/json"
# Arguments of operations that are (text, type) pairs.
_TEXTS = (("payload", "payload_type"), ("output", "output_type"))


class Bodies:
    """Moves what has more than `limit` characters or bytes between messages and the object store."""

    def __init__(self, objects: ObjectStore, clock: Clock, ids: IdSource, limit: int) -> None:
        self.objects = objects
        self._clock = clock
        self._ids = ids
        self._limit = limit
        self._slots = asyncio.Semaphore(_AT_ONCE)

    # -- in

    async def put_away(self, text: str | None, kind: str) -> tuple[str | None, str]:
        """Give a text and its type, or a reference where it is large. Raises StorageFullError and others."""
        if text is None or kind == STORED or not self._is_large(text):
            return text, kind
        now = self._clock.now()
        key = f"{FOLDER}/{now:015d}-{self._ids.make('body', now)}"
        async with self._slots:
            await self.objects.put(key, Body(kind, text.encode()))
        crash_point("object.stored")
        return key, STORED

    async def item(self, item: TriggerItem) -> TriggerItem:
        """Put away the payload of a trigger."""
        text, kind = await self.put_away(item.payload, item.payload_type)
        return replace(item, payload=text, payload_type=kind)

    def is_large(self, message: Message) -> bool:
        """Tell whether a worker's message has something to put away."""
        return any(self._is_large(holder[name]) for holder, name, _ in _texts(message))

    async def put_all_away(self, frame: list[Message]) -> None:
        """Replace what is large in messages of a worker; to be repeated, if storing has failed half-way."""
        for message in frame:
            for holder, name, kind in _texts(message):
                holder[name], holder[kind] = await self.put_away(holder[name], holder.get(kind) or _JSON)

    def _is_large(self, text: str) -> bool:
        size = len(text)
        return size > self._limit or (4 * size > self._limit and len(text.encode()) > self._limit)

    # -- out

    async def get(self, key: str) -> tuple[str, str]:
        """Read a body: text and type. Raises MissingBodyError, StorageUnavailableError."""
        async with self._slots:
            body = await self.objects.get(key)
        if body is None:
            raise errors.MissingBodyError(
                f"The stored body {key!r} is gone: it was deleted from the object store, or this server uses"
                " another one than the server that has stored it."
            )
        return body.data.decode(), body.content_type

    async def bring(self, message: Message) -> Message:
        """Give a message for a worker with the bodies in place of the references.

        A result whose body is gone becomes a refusal. Raises MissingBodyError for a payload.
        """
        if message["t"] == "start":
            run = dict(message["run"])
            if run["payload_type"] == STORED:
                run["payload"], run["payload_type"] = await self.get(run["payload"])
            run["record"] = [await self._record(op) for op in run["record"]]
            return {**message, "run": run}
        if message["t"] == "resume":
            return {**message, "ops": [await self._record(op) for op in message["ops"]]}
        return {**message, "result": await self._result(message["result"])}

    async def _record(self, op: dict[str, Any]) -> dict[str, Any]:
        return {**op, "result": await self._result(op["result"])} if "result" in op else op

    async def _result(self, result: Any) -> Any:
        if not _names_bodies(result):
            return result
        try:
            return await self._filled(result)
        except errors.MissingBodyError as error:
            return {"error": str(error), "error_kind": type(error).__name__}

    async def _filled(self, result: dict[str, Any]) -> dict[str, Any]:
        filled = dict(result)
        if filled.get("output_type") == STORED:
            filled["output"], filled["output_type"] = await self.get(filled["output"])
        if isinstance(filled.get("runs"), list):
            filled["runs"] = [
                await self._filled(child) if isinstance(child, dict) else child for child in filled["runs"]
            ]
        return filled

    # -- what nothing needs any more

    async def sweep(self, needed: Callable[[list[str]], Awaitable[set[str]]]) -> int:
        """Delete objects of more than a day that no row names, and uploads of more than a day."""
        before = self._clock.now() - KEPT_MS
        old = [found.key async for found in self.objects.listed(FOLDER) if _made_at(found.key) < before]
        unneeded: list[str] = []
        for start in range(0, len(old), 500):
            page = old[start : start + 500]
            kept = await needed(page)
            unneeded += [key for key in page if key not in kept]
        uploads = [f.key async for f in self.objects.listed(UPLOADS) if 0 < f.modified_ms < before]
        if unneeded or uploads:
            await self.objects.delete([*unneeded, *uploads])
        return len(unneeded) + len(uploads)


def needs_bodies(message: Message) -> bool:
    """Tell whether a message for a worker names stored bodies."""
    match message["t"]:
        case "start":
            run = message["run"]
            record = run["record"]
            return run["payload_type"] == STORED or any(_names_bodies(op.get("result")) for op in record)
        case "resume":
            return any(_names_bodies(op.get("result")) for op in message["ops"])
        case "reply" | "op_done":
            return _names_bodies(message.get("result"))
    return False


def _names_bodies(result: Any) -> bool:
    if not isinstance(result, dict):
        return False
    if result.get("output_type") == STORED:
        return True
    runs = result.get("runs")
    return isinstance(runs, list) and any(map(_names_bodies, runs))


def _texts(message: Message) -> Iterable[tuple[dict[str, Any], str, str]]:
    """List the texts of a worker's message: who holds them, by which name, and where their type is."""
    holders: list[Any] = []
    if message["t"] == "done":
        holders = [message]
    elif message["t"] == "op":
        args = message["args"]
        holders = [args, *(args.get("items") or ())]
    for holder in holders:
        for name, kind in _TEXTS:
            if isinstance(holder.get(name), str):
                yield holder, name, kind


def _made_at(key: str) -> int:
    stamp = key.removeprefix(f"{FOLDER}/").partition("-")[0]
    return int(stamp) if stamp.isdigit() else sys.maxsize  # none of ours
