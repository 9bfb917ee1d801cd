"""Repeated requests: a client that got no answer asks again, also of an engine that has restarted."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from triggerdev.engine.context import Context
from triggerdev.engine.store.protocol import IdempotencyRow

LIFETIME_MS = 60 * 60_000  # clients give up much sooner
_NO_TASK = ""  # where the keys of requests are kept apart from those of runs


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
