"""Idempotency keys: text from the user, hashed with the scope in which it must be unique."""

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from triggerdev.errors import PayloadError
from triggerdev.sdk import session

Scope = Literal["run", "attempt", "global"]
_HASHED = re.compile(r"[0-9a-f]{64}")
_MAX_LENGTH = 2048


class IdempotencyKey(str):
    """A finished key; `key` and `scope` are what it was made of."""

    __slots__ = ("key", "scope")
    key: str
    scope: Scope

    @classmethod
    def of(cls, digest: str, key: str, scope: Scope) -> "IdempotencyKey":
        made = cls(digest)
        made.key = key
        made.scope = scope
        return made


def make(key: str | Sequence[str], scope: Scope = "run") -> IdempotencyKey:
    """Hash a key: unique in this run, in this attempt, or everywhere; outside a run always everywhere."""
    if scope not in ("run", "attempt", "global"):
        raise PayloadError(f"scope={scope!r} is not 'run', 'attempt' or 'global'.")
    parts = [key] if isinstance(key, str) else [str(part) for part in key]
    text = "-".join(parts)
    if not text or len(text) > _MAX_LENGTH:
        raise PayloadError(f"An idempotency key has 1 to {_MAX_LENGTH} characters; this one has {len(text)}.")
    running = session.current()
    if running is not None and scope != "global":
        parts.append(running.context.run.id)
        if scope == "attempt":
            parts.append(str(running.context.attempt.number))
    digest = hashlib.sha256("-".join(parts).encode(), usedforsecurity=False).hexdigest()
    return IdempotencyKey.of(digest, text, scope)


def resolve(key: str | Sequence[str]) -> str:
    """Give the key to send: made ones and 64 hexadecimal digits as they are, others hashed in scope "run"."""
    if isinstance(key, IdempotencyKey):
        return key
    if isinstance(key, str) and _HASHED.fullmatch(key):
        return key
    return make(key)
