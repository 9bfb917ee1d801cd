"""Waitpoint tokens: created by name or without, completed from outside or by their timeout."""

from triggerdev import _durations, errors
from triggerdev.engine import options as wire
from triggerdev.engine.commands import finish
from triggerdev.engine.context import Context
from triggerdev.engine.model import Token, TokenCreated
from triggerdev.protocol import ErrorInfo

_NEVER = 2**53


def timeout_at(value: str | int | None, now: int) -> int | None:
    """Read a timeout: "1h", an ISO date, or milliseconds. Raises InvalidOptionError."""
    if value is None:
        return None
    span = value if isinstance(value, int) else _durations.parse_duration_ms(value)
    at = now + span if span is not None else _durations.parse_instant_ms(str(value))
    if at is None or at > now + wire.MAX_SPAN_MS:
        raise errors.InvalidOptionError(f'timeout: {value!r} is no duration like "1h" and no ISO date.')
    return at


def create(
    ctx: Context,
    timeout: str | int | None = None,
    key: str | None = None,
    key_ttl_ms: int | None = None,
    tags: list[str] | None = None,
) -> TokenCreated:
    """Create a token; a known idempotency key answers with its token, also when that one is finished."""
    if key is not None:
        known = ctx.tx.token_by_key(key, ctx.now)
        if known is not None:
            return TokenCreated(known.id, is_cached=True)
    token = Token(
        ctx.new_id("waitpoint"),
        "WAITING",
        ctx.now,
        timeout_at=timeout_at(timeout, ctx.now),
        idempotency_key=key,
        idempotency_expires_at=_expiry(ctx, key, key_ttl_ms),
        tags=wire.tags(tags),
    )
    ctx.tx.insert_token(token)
    ctx.wake_at(token.timeout_at)
    return TokenCreated(token.id, is_cached=False)


def _expiry(ctx: Context, key: str | None, key_ttl_ms: int | None) -> int | None:
    if key is None:
        return None
    return ctx.now + key_ttl_ms if key_ttl_ms is not None else _NEVER


def find(ctx: Context, id_or_name: str) -> Token:
    """Load a token by id or by name. Raises NoSuchRunError."""
    token = ctx.tx.get_token(id_or_name) or ctx.tx.token_by_key(id_or_name, ctx.now)
    if token is None:
        raise errors.NoSuchRunError(f"Waitpoint {id_or_name!r} not found.")
    return token


def complete(ctx: Context, id_or_name: str, output: str | None, output_type: str) -> None:
    """Complete a token and wake who waits for it; a finished token stays as it is."""
    token = find(ctx, id_or_name)
    if token.status != "WAITING":
        return
    token.status = "COMPLETED"
    token.output = output
    token.output_type = output_type
    _close(ctx, token)


def time_out(ctx: Context, token: Token) -> None:
    """End a token whose time is over."""
    token.status = "TIMED_OUT"
    token.output_is_error = True
    _close(ctx, token)


def _close(ctx: Context, token: Token) -> None:
    token.completed_at = ctx.now
    ctx.tx.update_token(token)
    ctx.crash_points("token")
    for op in ctx.tx.pending_ops([token.id]):
        finish.complete_op(ctx, op, result(token))


def result(token: Token) -> dict[str, object]:
    """Describe a finished token for the one who waited for it."""
    if token.status == "COMPLETED":
        return {"ok": True, "output": token.output, "output_type": token.output_type}
    stamp = _durations.iso(token.timeout_at or 0)
    error: ErrorInfo = {
        "type": "BUILT_IN_ERROR",
        "name": "WaitpointTimeoutError",
        "code": "TRIGGER_WAITPOINT_TIMEOUT",
        "message": f"Waitpoint timed out at {stamp}",
    }
    return {"ok": False, "error": error}
