"""`idempotency_keys`: keys that make a second trigger give the first run."""

from collections.abc import Sequence

from triggerdev.sdk import keys
from triggerdev.sdk.calls import operation
from triggerdev.sdk.keys import IdempotencyKey, Scope

__all__ = ["IdempotencyKey", "create", "sync"]


@operation("idempotency_keys.create")
async def create(key: str | Sequence[str], *, scope: Scope = "run") -> IdempotencyKey:
    """Make a key that is unique in this run with its retries, in this attempt, or everywhere ("global")."""
    return keys.make(key, scope)


class _Sync:
    """The same calls for code without an event loop."""

    create = staticmethod(create.blocking)


sync = _Sync()
