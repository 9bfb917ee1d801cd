"""Triggering runs: over the worker connection inside a run, over HTTP elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from triggerdev import _json, protocol
from triggerdev.errors import BatchTriggerError, PayloadError
from triggerdev.sdk import http, keys, options, packets, serialise, session, times
from triggerdev.sdk.calls import running_loop
from triggerdev.sdk.results import BatchHandle, BatchResult, Result, RunHandle

MAX_BATCH_ITEMS = 1000
MAX_BATCH_CHARACTERS = 50_000_000  # of a run's batch: it is one message, in bytes up to four times as long
_STREAM_TRIES = 5
_OUTSIDE = "Outside of runs trigger it and follow it with runs.poll(handle.id)."


@dataclass
class Item:
    """One run of a batch, checked and serialised; `options` is the wire form."""

    task: str
    payload: str | None
    options: dict[str, Any] = field(default_factory=dict)

    def message(self) -> dict[str, Any]:
        """Give the item as the worker protocol carries it."""
        return {
            "task": self.task,
            "payload": self.payload,
            "payload_type": serialise.JSON,
            "options": self.options,
        }

    async def line(self, index: int) -> str:
        """Give the item as a line of the batch items stream; a large payload is uploaded, and named."""
        wire: dict[str, Any] = {"index": index, "task": self.task, "options": dict(self.options)}
        wire["options"]["payloadType"] = serialise.JSON
        if self.payload is not None:
            wire["payload"], wire["options"]["payloadType"] = await packets.packed(self.payload)
        return _json.dumps(wire) + "\n"


async def trigger(task: str, payload: Any, given: Mapping[str, Any]) -> RunHandle:
    """Start a run of a task and go on."""
    wire = options.to_wire(given)
    text = serialise.dump_payload(payload)
    running = session.current()
    if running is not None:
        args = {"payload": text, "payload_type": serialise.JSON, "options": wire}
        made = await running.operate(protocol.TRIGGER, task, args)
        return RunHandle(made["id"], task, made.get("is_cached", False))
    body: dict[str, Any] = {"options": {**wire, "payloadType": serialise.JSON}}
    if text is not None:
        body["payload"], body["options"]["payloadType"] = await packets.packed(text)
    answer = await _over_http(task, body)
    token = answer.headers.get("x-trigger-jwt")
    return RunHandle(answer.body["id"], task, answer.body.get("isCached", False), token)


async def _over_http(task: str, body: dict[str, Any]) -> http.Answer:
    from triggerdev.sdk import gathering

    if running_loop() is None:
        return await gathering.trigger_alone(task, body)
    return await gathering.trigger(task, body)


async def trigger_and_wait(task: str, payload: Any, given: Mapping[str, Any]) -> Result[Any]:
    """Start a run of a task and wait for its end; only inside a run."""
    running = session.require("trigger_and_wait", _OUTSIDE)
    args = {
        "payload": serialise.dump_payload(payload),
        "payload_type": serialise.JSON,
        "options": options.to_wire(given),
    }
    return Result.of(await running.operate(protocol.TRIGGER_AND_WAIT, task, args), task)


def read_items(items: Iterable[Mapping[str, Any]], task: str | None) -> list[Item]:
    """Check the items of a batch; `task` is the task of all, None where each item names its own."""
    if not isinstance(items, Iterable) or isinstance(items, (str, Mapping)):
        raise PayloadError(f"items={items!r:.60}: use a list of items, such as {_form(task)}.")
    given = list(items)
    if not given:
        raise PayloadError("items: a batch needs at least one item.")
    if len(given) > MAX_BATCH_ITEMS:
        raise PayloadError(
            f"items: a batch can have at most {MAX_BATCH_ITEMS:,} items; this one has {len(given):,}. "
            "Trigger them in several batches, or each by itself with asyncio.gather."
        )
    return [_read_item(index, item, task) for index, item in enumerate(given)]


def _form(task: str | None) -> str:
    return '{"payload": ..., "options": {...}}' if task else '{"id": ..., "payload": ..., "options": {...}}'


def _read_item(index: int, item: Any, task: str | None) -> Item:
    where = f"items[{index}]"
    form = _form(task)
    if not isinstance(item, Mapping):
        raise PayloadError(f"{where} is {item!r:.60}; an item is a mapping such as {form}.")
    unknown = item.keys() - {"id", "task", "payload", "options"}
    if unknown:
        raise PayloadError(
            f"{where} has an unknown key {min(unknown, key=str)!r}; an item is a mapping such as {form}."
        )
    given = item.get("options") or {}
    if not isinstance(given, Mapping):
        raise PayloadError(f"{where}: options={given!r:.60} is no mapping; an item is {form}.")
    name = task or item.get("id") or item.get("task")
    name = getattr(name, "id", name)
    if not isinstance(name, str):
        raise PayloadError(f"{where} names no task; an item is a mapping such as {form}.")
    try:
        wire = options.to_wire(given)
        return Item(name, serialise.dump_payload(item.get("payload")), wire)
    except PayloadError as error:
        raise PayloadError(f"{where}: {error}") from None


def _batch_args(items: list[Item], key: Any, ttl: Any) -> dict[str, Any]:
    size = sum(len(item.payload or "") for item in items)
    if size > MAX_BATCH_CHARACTERS:
        raise PayloadError(
            f"The payloads of this batch are {size:,} characters together; a run can send"
            f" {MAX_BATCH_CHARACTERS:,} at once. Trigger them in several batches."
        )
    args: dict[str, Any] = {"items": [item.message() for item in items]}
    if key is not None:
        args["idempotency_key"] = str(keys.resolve(key))
        if ttl is not None:
            args["idempotency_ttl_ms"] = times.duration_ms(ttl, "idempotency_key_ttl")
    return args


def _target(items: list[Item]) -> str:
    return ",".join(sorted({item.task for item in items}))


async def batch_trigger(items: list[Item], key: Any = None, ttl: Any = None) -> BatchHandle:
    """Start the runs of a batch and go on."""
    running = session.current()
    if running is None:
        return await _batch_over_http(items, key, ttl)
    made = await running.operate(protocol.BATCH_TRIGGER, _target(items), _batch_args(items, key, ttl))
    return BatchHandle(made["id"], made["run_count"], made.get("is_cached", False), made.get("runs") or [])


async def batch_trigger_and_wait(items: list[Item], key: Any = None, ttl: Any = None) -> BatchResult[Any]:
    """Start the runs of a batch and wait until each has ended; only inside a run."""
    running = session.require("batch_trigger_and_wait", _OUTSIDE)
    args = _batch_args(items, key, ttl)
    done = await running.operate(protocol.BATCH_TRIGGER_AND_WAIT, _target(items), args)
    return BatchResult(done["id"], [Result.of(child) for child in done["runs"]])


async def _batch_over_http(items: list[Item], key: Any, ttl: Any) -> BatchHandle:
    body: dict[str, Any] = {"runCount": len(items), "taskIdentifiers": sorted({item.task for item in items})}
    if key is not None:
        made = keys.resolve(key)
        body["idempotencyKey"] = str(made)
        if isinstance(made, keys.IdempotencyKey):
            body["idempotencyKeyOptions"] = {"key": made.key, "scope": made.scope}
        if ttl is not None:
            body["idempotencyKeyTTL"] = options.single_unit(ttl, "idempotency_key_ttl")
    answer = await http.request("POST", "/api/v3/batches", json=body)
    created = answer.body
    if not created.get("isCached"):
        await _send_items(created["id"], items)
    token = answer.headers.get("x-trigger-jwt")
    return BatchHandle(created["id"], created["runCount"], created.get("isCached", False), [], token)


async def _send_items(batch: str, items: list[Item]) -> None:
    lines = "".join([await item.line(index) for index, item in enumerate(items)]).encode()
    accepted = 0
    for attempt in range(1, _STREAM_TRIES + 1):
        answer = await http.request(
            "POST",
            f"/api/v3/batches/{quote(batch, safe='')}/items",
            content=lines,
            headers={"content-type": "application/x-ndjson"},
        )
        if answer.body.get("sealed"):
            return
        accepted = answer.body.get("itemsAccepted", 0)
        await http.pause(attempt)
    raise BatchTriggerError(
        f"Batch {batch} took only {accepted} of {len(items)} items after {_STREAM_TRIES} tries."
    )
