"""Queues: what a version declares, looking at them, pausing them, overriding their limits."""

import hashlib

from triggerdev import errors
from triggerdev.engine import options as wire
from triggerdev.engine.context import Context
from triggerdev.engine.model import Queue, QueueDetail, QueuePage
from triggerdev.protocol import Manifest

MOST = 100_000  # runs of a queue that execute at the same time
_ID = "queue_"
_ID_LENGTH = 21


def register(ctx: Context, manifest: Manifest) -> None:
    """Declare the queues of a version. Overrides and pauses stay as they are."""
    for queue in manifest["queues"]:
        ctx.tx.put_queue(wire.queue_name(queue["name"]), queue.get("concurrency_limit"), ctx.now)
    for task in manifest["tasks"]:
        own = task.get("queue")
        if own is None or "concurrency_limit" in own:
            limit = own.get("concurrency_limit") if own else None
            ctx.tx.put_queue(ctx.tasks.queue_of(task), limit, ctx.now)
    ctx.tx.add_queues([ctx.tasks.queue_of(task) for task in manifest["tasks"]], ctx.now)


def id_of(name: str) -> str:
    """Make the id of a queue: the same for the same name, so that it needs no place of its own."""
    return _ID + hashlib.sha256(name.encode()).hexdigest()[:_ID_LENGTH]


def is_id(text: str) -> bool:
    """Tell whether a text has the form of a queue's id."""
    return text.startswith(_ID) and len(text) == len(_ID) + _ID_LENGTH


def page(ctx: Context, number: int, size: int, limit: int | None) -> QueuePage:
    """List queues by name, a page of them; `limit` is that of all together."""
    names = ctx.tx.queue_names()
    shown = names[(number - 1) * size : number * size]
    loads = ctx.tx.queue_loads(shown)
    found = [(queue, loads[name]) for name in shown if (queue := ctx.tx.get_queue(name)) is not None]
    items = [QueueDetail(queue, load) for queue, load in found]
    return QueuePage(items, len(names), ctx.tx.total_load(), limit)


def detail(ctx: Context, name: str) -> QueueDetail:
    """Look at a queue, given by name or id. Raises NoSuchRunError."""
    return _with_load(ctx, _find(ctx, name))


def pause(ctx: Context, name: str, paused: bool) -> QueueDetail:
    """Give out no more runs of a queue, or some again. Raises NoSuchRunError."""
    queue = _find(ctx, name)
    if (queue.paused_at is not None) != paused:
        queue.paused_at = ctx.now if paused else None
        _save(ctx, queue)
    return _with_load(ctx, queue)


def override(ctx: Context, name: str, limit: int | None) -> QueueDetail:
    """Let another limit count than the declared one; None: the declared one again.

    Raises NoSuchRunError, InvalidOptionError.
    """
    if limit is not None and not 0 <= limit <= MOST:
        raise errors.InvalidOptionError(
            f"concurrencyLimit: {limit} is no whole number of 0 to {MOST}; 0 lets nothing start."
        )
    queue = _find(ctx, name)
    queue.override_limit = limit
    queue.overridden_at = None if limit is None else ctx.now
    _save(ctx, queue)
    return _with_load(ctx, queue)


def _find(ctx: Context, name: str) -> Queue:
    queue = ctx.tx.get_queue(wire.queue_name(name))
    if queue is None and is_id(name):
        named = next((each for each in ctx.tx.queue_names() if id_of(each) == name), None)
        queue = None if named is None else ctx.tx.get_queue(named)
    if queue is None:
        raise errors.NoSuchRunError(
            f"Queue {name!r} not found: no task declares it and no run was put in it."
        )
    return queue


def _save(ctx: Context, queue: Queue) -> None:
    queue.updated_at = ctx.now
    ctx.tx.update_queue(queue)
    ctx.effects.pump = True


def _with_load(ctx: Context, queue: Queue) -> QueueDetail:
    ctx.flush()
    return QueueDetail(queue, ctx.tx.queue_loads([queue.name])[queue.name])
