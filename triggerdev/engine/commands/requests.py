"""What is done once for a key, apart from runs: repeated requests, waits; and freeing the key of a run.

A client that got no answer asks again, also of an engine that has restarted. A wait with a key ends when the
first one with that key does.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from triggerdev import errors
from triggerdev.engine import options as wire
from triggerdev.engine.context import Context
from triggerdev.engine.store.protocol import IdempotencyRow

LIFETIME_MS = 60 * 60_000  # clients give up much sooner
_NO_TASK = ""  # where the keys of requests and waits are kept apart from those of runs
_WAIT = "wait "  # the keys of requests begin with a slash


class Made(Protocol):
    """What a call made, or found by an idempotency key."""

    id: str
    is_cached: bool


M = TypeVar("M", bound=Made)


def once(ctx: Context, request: str | None, make: Callable[[], M], find: Callable[[str], M]) -> M:
    """Make something, or find by id what the same request has made within the last hour."""
    if request is None:
        return make()
    pair = (_NO_TASK, request)
    row = ctx.tx.get_keys([pair]).get(pair)
    if row is not None and row.expires_at > ctx.now:
        return find(row.run_id)
    made = make()
    if not made.is_cached:  # what a key has found is found again by it
        ctx.tx.put_keys([IdempotencyRow(*pair, made.id, ctx.now + LIFETIME_MS)])
    return made


def wait_end(ctx: Context, key: str, ttl_ms: int | None, due_at: int) -> int:
    """Say when a wait with a key ends: as the first with this key, which is this one if there is none."""
    pair = (_NO_TASK, _WAIT + key)
    row = ctx.tx.get_keys([pair]).get(pair)
    if row is not None and row.expires_at > ctx.now:
        return int(row.run_id)
    lifetime = wire.DEFAULT_IDEMPOTENCY_TTL_MS if ttl_ms is None else ttl_ms
    ctx.tx.put_keys([IdempotencyRow(*pair, str(due_at), ctx.now + lifetime)])
    return due_at


def reset_key(ctx: Context, task: str, key: str) -> None:
    """Free the idempotency key of a task: the next trigger with it makes a run. Raises NoSuchRunError."""
    pair = (task, key)
    row = ctx.tx.get_keys([pair]).get(pair) if task else None
    if row is None or row.expires_at <= ctx.now:
        raise errors.NoSuchRunError(f"Task {task!r} has no run with the idempotency key {key!r:.100}.")
    ctx.tx.put_keys([replace(row, expires_at=ctx.now)])
