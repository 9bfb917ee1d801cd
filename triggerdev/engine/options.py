"""Reading trigger options from their wire form: camelCase keys, durations and dates as text."""

import zlib
from typing import Any, TypeGuard

from triggerdev import _durations, _json, _metadata, errors, protocol
from triggerdev.engine.model import Debounce, TriggerOptions

MAX_TAGS = 10
MAX_TAG_LENGTH = 128
MAX_IDEMPOTENCY_KEY = 2048
MAX_METADATA_BYTES = _metadata.MAX_BYTES
DEFAULT_IDEMPOTENCY_TTL_MS = 30 * 86_400_000
MAX_SPAN_MS = 100 * 366 * 86_400_000
MAX_PRIORITY = 10**9
MAX_DEBOUNCE_KEY = 512
MIN_DEBOUNCE_MS = 1000
_MAX_COUNT = 2**31 - 1
_SCOPES = ("run", "attempt", "global")


def parse(wire: dict[str, Any], now: int) -> TriggerOptions:
    """Validate the options of one trigger call. Raises InvalidOptionError that names option and reason."""
    if not wire:
        return TriggerOptions()
    queue, limit = _queue(wire.get("queue"))
    key = wire.get("idempotencyKey")
    return TriggerOptions(
        delay_until=delay_until(wire.get("delay"), now),
        ttl_ms=_ttl(wire.get("ttl")),
        priority=_number(wire.get("priority"), "priority", MAX_PRIORITY) or 0,
        tags=tags(wire.get("tags")),
        metadata=metadata(wire.get("metadata")),
        queue=queue,
        queue_limit=limit,
        concurrency_key=text(wire.get("concurrencyKey"), "concurrencyKey", 128),
        idempotency_key=text(key, "idempotencyKey", MAX_IDEMPOTENCY_KEY),
        idempotency_display=_display(wire, key),
        idempotency_scope=_scope(wire),
        idempotency_ttl_ms=_duration(wire.get("idempotencyKeyTTL"), "idempotencyKeyTTL"),
        machine=machine(wire.get("machine")),
        max_attempts=_positive(wire.get("maxAttempts"), "maxAttempts"),
        max_duration_ms=_max_duration(wire.get("maxDuration")),
        is_test=bool(wire.get("test")),
        debounce=debounce(wire.get("debounce")),
    )


def delay_until(value: Any, now: int) -> int | None:
    """Read `delay` ("2h30m" or an ISO date) as a time; a time in the past means no delay."""
    if value is None:
        return None
    if isinstance(value, str):
        span = _durations.parse_duration_ms(value)
        at = now + span if span is not None else _durations.parse_instant_ms(value)
        if at is not None and at <= now + MAX_SPAN_MS:
            return at if at > now else None
    raise errors.InvalidOptionError(f'Invalid delay: {value!r}. Use a duration like "1h30m" or an ISO date.')


def debounce(value: Any) -> Debounce | None:
    """Read `debounce`: {"key", "delay", "mode"?, "maxDelay"?}; delays are durations of a second at least."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise errors.InvalidOptionError('debounce: an object is needed, as {"key": "user-1", "delay": "5s"}.')
    key = value.get("key")
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_DEBOUNCE_KEY:
        raise errors.InvalidOptionError(
            f"debounce.key: a text of 1 to {MAX_DEBOUNCE_KEY} characters is needed."
        )
    delay = _duration(value.get("delay"), "debounce.delay")
    if delay is None or delay < MIN_DEBOUNCE_MS:
        raise errors.InvalidOptionError('debounce.delay: a duration of a second or more is needed, as "5s".')
    mode = value.get("mode") or "leading"
    if mode not in ("leading", "trailing"):
        raise errors.InvalidOptionError(f"debounce.mode: {mode!r} is neither 'leading' nor 'trailing'.")
    longest = _duration(value.get("maxDelay"), "debounce.maxDelay")
    if longest is not None and longest <= delay:
        raise errors.InvalidOptionError(
            f"debounce.maxDelay ({value['maxDelay']}) must be longer than debounce.delay ({value['delay']}),"
            " else nothing could ever be put off."
        )
    return Debounce(key, delay, mode == "trailing", longest)


def tags(value: Any) -> list[str]:
    """Read tags: one or a list, at most 10 of at most 128 characters; blanks and repeats are dropped."""
    if value is None:
        return []
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise errors.InvalidOptionError("tags: a text or a list of texts is needed.")
    kept = list(dict.fromkeys(item for item in items if item.strip()))
    if len(kept) > MAX_TAGS:
        raise errors.InvalidOptionError(
            f"Runs can only have {MAX_TAGS} tags, you're trying to set {len(kept)}."
        )
    for tag in kept:
        if len(tag) > MAX_TAG_LENGTH:
            raise errors.InvalidOptionError(
                f"tags: {tag[:32]!r}... has {len(tag)} characters, {MAX_TAG_LENGTH} are allowed."
            )
    return kept


def machine(value: Any) -> str | None:
    """Read a machine: a preset's name or {"preset": name}."""
    if isinstance(value, dict):
        value = value.get("preset")
    if value is None or (isinstance(value, str) and value in protocol.MACHINES):
        return value
    raise errors.InvalidOptionError(
        f"machine: {value!r} is no preset. Presets: {', '.join(protocol.MACHINES)}."
    )


def queue_name(name: str) -> str:
    """Keep of a queue's name what queue names may hold: letters, digits, `_`, `-`, `/`; 128 characters.

    Names in other alphabets get a checksum, so that two of them are never one queue.
    """
    kept = "".join(c for c in name if c.isascii() and (c.isalnum() or c in "_-/"))[:128]
    if name.isascii():
        return kept
    return f"{kept[:119]}-{zlib.crc32(name.encode('utf-8', 'replace')):08x}"


def _queue(value: Any) -> tuple[str | None, int | None]:
    limit = None
    while isinstance(value, dict):  # older clients nest {"name": {"name": ..., "concurrencyLimit": ...}}
        given = value.get("concurrencyLimit", value.get("concurrency_limit"))
        limit = given if given is not None else limit
        value = value.get("name")
    if limit is not None and not (_is_whole(limit) and 0 <= limit <= _MAX_COUNT):
        raise errors.InvalidOptionError("queue: concurrencyLimit is a whole number, 0 or more.")
    if value is None:
        return None, limit
    name = queue_name(value) if isinstance(value, str) else ""
    if not name:
        raise errors.InvalidOptionError(f"queue: {value!r} is no name of a queue.")
    return name, limit


def _display(wire: dict[str, Any], key: Any) -> str | None:
    shown = wire.get("idempotencyKeyOptions")
    if isinstance(shown, dict):
        original = shown.get("key")
        if isinstance(original, list):
            return "-".join(map(str, original))[:MAX_IDEMPOTENCY_KEY]
        return original[:MAX_IDEMPOTENCY_KEY] if isinstance(original, str) else None
    return key if isinstance(key, str) else None


def _scope(wire: dict[str, Any]) -> str | None:
    shown = wire.get("idempotencyKeyOptions")
    scope = shown.get("scope") if isinstance(shown, dict) else None
    if scope is None or scope in _SCOPES:
        return scope
    raise errors.InvalidOptionError(
        f"idempotencyKeyOptions.scope: {scope!r:.60} is none of {', '.join(_SCOPES)}."
    )


def _ttl(value: Any) -> int | None:
    if _is_whole(value) and 0 <= value <= MAX_SPAN_MS // 1000:
        return value * 1000
    return _duration(value, "ttl")


def _duration(value: Any, name: str) -> int | None:
    if value is None:
        return None
    span = _durations.parse_duration_ms(value) if isinstance(value, str) else None
    if span is None or span > MAX_SPAN_MS:
        raise errors.InvalidOptionError(f'{name}: {value!r} is no duration. Use one like "24h".')
    return span


def _max_duration(value: Any) -> int | None:
    seconds = _number(value, "maxDuration", _MAX_COUNT)
    if seconds is None:
        return None
    if seconds < protocol.MIN_MAX_DURATION:
        raise errors.InvalidOptionError(f"maxDuration: at least {protocol.MIN_MAX_DURATION} second.")
    return round(seconds * 1000)


def metadata(value: Any) -> dict[str, Any] | None:
    """Read metadata: an object of at most 256 KB, or its JSON text."""
    if value is None:
        return None
    if isinstance(value, str):  # replays and older clients send it serialised
        try:
            value = _json.loads(value)
        except ValueError as error:
            raise errors.InvalidOptionError(f"metadata: no JSON ({error}).") from error
    if not isinstance(value, dict):
        raise errors.InvalidOptionError("metadata: an object is needed.")
    try:
        size = len(_json.dump_bytes(value))
    except (TypeError, ValueError, RecursionError) as error:  # nested too deeply, half a surrogate pair
        raise errors.InvalidOptionError(f"metadata: no JSON ({error}).") from error
    if size > MAX_METADATA_BYTES:
        raise errors.InvalidOptionError(f"metadata: {size} bytes, {MAX_METADATA_BYTES} are allowed.")
    return value


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any, name: str, limit: int) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and -limit <= value <= limit:
        return value
    raise errors.InvalidOptionError(f"{name}: {value!r} is no number of -{limit} to {limit}.")


def _positive(value: Any, name: str) -> int | None:
    if value is None:
        return None
    if _is_whole(value) and 0 < value <= _MAX_COUNT:
        return value
    raise errors.InvalidOptionError(f"{name}: {value!r} is no whole number above 0.")


def text(value: Any, name: str, limit: int) -> str | None:
    """Read a text of 1 to `limit` characters; numbers are written out."""
    if value is None:
        return None
    read = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if not read or len(read) > limit:
        raise errors.InvalidOptionError(f"{name}: a text of 1 to {limit} characters is needed.")
    return read
