"""Idempotency keys: text from the user, hashed with the scope in which it must be unique."""

import hashlib
import re
from collections.abc import Sequence
from typing import Literal, get_args

from triggerdev.errors import PayloadError
from triggerdev.sdk import session

Scope = Literal["run", "attempt", "global"]
Key = str | Sequence[str]
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


def make(key: Key, scope: Scope = "run", option: str = "key") -> IdempotencyKey:
    """Hash a key: unique in this run, in this attempt, or everywhere; outside a run always everywhere.

    `option` is what errors call the key. Raises PayloadError.
    """
    check_scope(scope)
    running = session.current()
    if running is None:
        return make_for(key, scope, (), option)
    run, attempt = running.context.run.id, str(running.context.attempt.number)
    owners = {"run": (run,), "attempt": (run, attempt), "global": ()}
    return make_for(key, scope, owners[scope], option)


def make_for(key: Key, scope: Scope, owners: Sequence[str], option: str = "key") -> IdempotencyKey:
    """Hash a key together with the run (and the attempt) that it belongs to."""
    parts = _parts(key, option)
    digest = hashlib.sha256("-".join([*parts, *owners]).encode(), usedforsecurity=False).hexdigest()
    return IdempotencyKey.of(digest, "-".join(parts), scope)


def check_scope(scope: str) -> None:
    """Raise PayloadError for what is no scope."""
    if scope not in get_args(Scope):
        raise PayloadError(f"scope={scope!r:.60} is no scope of a key: use 'run', 'attempt' or 'global'.")


def _parts(key: Key, option: str) -> list[str]:
    given = [key] if isinstance(key, str) else list(key) if isinstance(key, (list, tuple)) else None
    if given is None or not all(isinstance(part, str) for part in given):
        raise PayloadError(f"{option}={key!r:.60} is no key: use text, or a list of texts.")
    check_length("-".join(given), option)
    return given


def check_length(text: str, option: str) -> str:
    """Give the key back. Raises PayloadError for an empty one and one of more than 2,048 characters."""
    if not 0 < len(text) <= _MAX_LENGTH:
        raise PayloadError(
            f"{option} has {len(text):,} characters; an idempotency key has 1 to {_MAX_LENGTH:,}."
        )
    return text


def resolve(key: Key, option: str = "idempotency_key") -> str:
    """Give the key to send: made ones and 64 hexadecimal digits as they are, others hashed in scope "run"."""
    finished = hashed(key)
    return make(key, option=option) if finished is None else finished


def hashed(key: Key) -> str | None:
    """Give the key if it is a finished one, None if it is yet to be hashed."""
    if isinstance(key, IdempotencyKey) or (isinstance(key, str) and _HASHED.fullmatch(key)):
        return key
    return None


def plain(key: str, option: str = "idempotency_key") -> str:
    """Give the key of a wait or a token, which is what it says everywhere; made ones are hashed already."""
    if not isinstance(key, str):
        raise PayloadError(f"{option}={key!r:.60} is no key: use text.")
    return check_length(str(key), option)
