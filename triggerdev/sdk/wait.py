"""`wait`: durable waits. While all of a run waits, it holds no slot and uses no compute time."""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from triggerdev import protocol
from triggerdev.errors import NotFoundError, PayloadError
from triggerdev.sdk import http, keys, options, packets, pages, serialise, session, times
from triggerdev.sdk.calls import drive, operation, refuse_loop
from triggerdev.sdk.results import TokenCall, TokenResult

__all__ = [
    "Token",
    "TokenInfo",
    "complete_token",
    "create_token",
    "for_",
    "for_token",
    "list_tokens",
    "retrieve_token",
    "sync",
    "until",
]

_ID_PREFIX = "waitpoint_"
_OUTSIDE = "Elsewhere use asyncio.sleep or time.sleep."
_DAYS = {"weeks": 7, "months": 30, "years": 365}


@dataclass(frozen=True)
class Token:
    """A token that somebody completes. `is_cached`: it existed already. `url` completes it without a key."""

    id: str
    is_cached: bool = False
    url: str | None = None
    public_access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class TokenInfo:
    """A token as the server sees it. `status`: WAITING, COMPLETED or TIMED_OUT."""

    id: str
    status: str
    created_at: datetime
    url: str | None = None
    tags: builtins.list[str] = field(default_factory=builtins.list)
    completed_at: datetime | None = None
    timeout_at: datetime | None = None
    idempotency_key: str | None = None
    output: Any = None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "TokenInfo":
        """Read a token of the HTTP API."""
        return cls(
            id=answer["id"],
            status=answer["status"],
            created_at=times.require_moment(answer["createdAt"]),
            url=answer.get("url"),
            tags=builtins.list(answer.get("tags") or []),
            completed_at=times.parse_moment(answer.get("completedAt")),
            timeout_at=times.parse_moment(answer.get("timeoutAt")),
            idempotency_key=answer.get("idempotencyKey"),
            output=serialise.load(answer.get("output"), answer.get("outputType") or serialise.JSON),
        )


@operation("wait.for_")
async def for_(
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    weeks: float = 0,
    months: float = 0,
    years: float = 0,
    idempotency_key: str | None = None,
    idempotency_key_ttl: str | timedelta | None = None,
) -> None:
    """Wait for a period; a month is 30 days, a year 365.

    A second wait with the same `idempotency_key`, in whichever run, ends when the first does: at once if that
    is over. The key holds for 30 days or `idempotency_key_ttl`. Raises PayloadError for a negative period.
    """
    running = session.require("wait.for_", _OUTSIDE)
    total_days = days + weeks * _DAYS["weeks"] + months * _DAYS["months"] + years * _DAYS["years"]
    period = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=total_days)
    ms = times.duration_ms(period, "wait.for_")
    await running.operate(
        protocol.WAIT, None, {"for_ms": ms, **_key_args(idempotency_key, idempotency_key_ttl)}
    )


def _key_args(key: str | None, ttl: Any) -> dict[str, Any]:
    """Write a wait's or token's key for the worker protocol."""
    args: dict[str, Any] = {}
    if key is not None:
        args["idempotency_key"] = keys.plain(key)
    if ttl is not None:
        args["idempotency_ttl_ms"] = times.duration_ms(ttl, "idempotency_key_ttl")
    return args


@operation("wait.until")
async def until(
    date: datetime | str,
    *,
    idempotency_key: str | None = None,
    idempotency_key_ttl: str | timedelta | None = None,
) -> None:
    """Wait until a moment; a datetime without time zone is local time, a past one returns at once.

    A second wait with the same `idempotency_key` ends when the first does, as with `for_`.
    """
    running = session.require("wait.until", _OUTSIDE)
    args = {"until": times.instant_ms(date, "date"), **_key_args(idempotency_key, idempotency_key_ttl)}
    await running.operate(protocol.WAIT, None, args)


def _target(token: "str | Token | TokenInfo") -> tuple[str, bool]:
    """Give a token's id or name, and whether it is a name."""
    text = token if isinstance(token, str) else token.id
    if not isinstance(text, str) or not text:
        raise PayloadError(f"{token!r:.60} is no token: use its id, its name, or what create_token gave.")
    return text, not text.startswith(_ID_PREFIX)


async def _for_token(
    token: "str | Token | TokenInfo", timeout: Any, timeout_in_seconds: float | None
) -> TokenResult[Any]:
    running = session.require("wait.for_token", "Elsewhere use wait.retrieve_token.")
    target, is_name = _target(token)
    given = timeout if timeout is not None else timeout_in_seconds
    ms = None if given is None else times.duration_ms(given, "timeout")
    result = await running.operate(protocol.WAIT_TOKEN, target, {"timeout_ms": ms, "is_name": is_name})
    return TokenResult.of(result)


def for_token(
    token: "str | Token | TokenInfo",
    *,
    timeout: str | float | timedelta | None = None,
    timeout_in_seconds: float | None = None,
) -> TokenCall[Any]:
    """Wait until somebody completes a token, given by id, name, or as create_token gave it.

    A name creates the token where there is none; the timeout counts from its creation, None is never. Gives a
    TokenResult (ok, output, error); `.unwrap()` its output, or raises WaitpointTimeoutError.
    """
    return TokenCall(_for_token(token, timeout, timeout_in_seconds))


@operation("wait.create_token")
async def create_token(
    name: str | None = None,
    *,
    timeout: str | float | timedelta | datetime | None = None,
    idempotency_key: str | None = None,
    idempotency_key_ttl: str | timedelta | None = None,
    tags: str | Sequence[str] | None = None,
) -> Token:
    """Make a token to wait for; one with the same name or idempotency key is found again.

    Without `timeout` it waits for ever. Raises PayloadError.
    """
    key = name if name is not None else idempotency_key
    if key is not None:
        keys.plain(key, "name" if name is not None else "idempotency_key")
    running = session.current()
    if running is not None:
        return await _create_in_run(running, name, timeout, idempotency_key, idempotency_key_ttl, tags)
    body: dict[str, Any] = {}
    if timeout is not None:
        body["timeout"] = times.moment_or_duration(timeout, "timeout")
    if key is not None:
        body["idempotencyKey"] = str(key)
    if idempotency_key_ttl is not None:
        body["idempotencyKeyTTL"] = options.single_unit(idempotency_key_ttl, "idempotency_key_ttl")
    if tags is not None:
        body["tags"] = options.check_tags(tags)
    answer = await http.request("POST", "/api/v1/waitpoints/tokens", json=body)
    made = answer.body
    return Token(
        made["id"], made.get("isCached", False), made.get("url"), answer.headers.get("x-trigger-jwt")
    )


async def _create_in_run(
    running: session.RunSession, name: str | None, timeout: Any, key: str | None, ttl: Any, tags: Any
) -> Token:
    args: dict[str, Any] = {}
    if isinstance(timeout, datetime):
        now = datetime.now(timeout.tzinfo)
        args["timeout_ms"] = max(0, round((timeout - now).total_seconds() * 1000))
    elif timeout is not None:
        args["timeout_ms"] = times.duration_ms(timeout, "timeout")
    args |= _key_args(key, ttl)
    if tags is not None:
        args["tags"] = options.check_tags(tags)
    made = await running.operate(protocol.CREATE_TOKEN, name, args)
    return Token(made["id"], made.get("is_cached", False), made.get("url"))


@operation("wait.complete_token")
async def complete_token(token: "str | Token | TokenInfo", data: Any = None) -> None:
    """Complete a token, given by id, name or object; a second time does nothing. Raises NotFoundError."""
    running = session.current()
    text = serialise.dump_payload(data, "data")
    target, is_name = _target(token)
    if running is not None:
        args = {"output": text, "output_type": serialise.JSON}
        await running.operate(protocol.COMPLETE_TOKEN, target, args)
        return
    token_id = await _find(target) if is_name else target
    body = b"{}" if text is None else f'{{"data":{text}}}'.encode()
    path = f"/api/v1/waitpoints/tokens/{quote(token_id, safe='')}/complete"
    await http.request("POST", path, content=body, headers={"content-type": "application/json"})


async def _find(name: str) -> str:
    params = {"filter[idempotencyKey]": name}
    answer = await http.request("GET", "/api/v1/waitpoints/tokens", params=params)
    for found in answer.body["data"]:
        return str(found["id"])
    raise NotFoundError(
        404, f"There is no token with the name {name!r}; wait.for_token or create_token makes one."
    )


@operation("wait.retrieve_token")
async def retrieve_token(token: "str | Token | TokenInfo") -> TokenInfo:
    """Look at a token, given by id, name or as an object. Raises NotFoundError."""
    target, is_name = _target(token)
    token_id = await _find(target) if is_name else target
    answer = await http.request("GET", f"/api/v1/waitpoints/tokens/{quote(token_id, safe='')}")
    found: dict[str, Any] = answer.body
    if found.get("outputType") == protocol.STORED:
        found["output"], found["outputType"] = await packets.fetch(found["output"])
    return TokenInfo.of(found)


def _query(
    status: str | Sequence[str] | None, tags: str | Sequence[str] | None, idempotency_key: str | None
) -> dict[str, Any]:
    filters = {"filter[status]": pages.commas(status), "filter[tags]": pages.commas(tags)}
    filters["filter[idempotencyKey]"] = idempotency_key
    return {name: value for name, value in filters.items() if value is not None}


def list_tokens(
    *,
    status: str | Sequence[str] | None = None,
    tags: str | Sequence[str] | None = None,
    idempotency_key: str | None = None,
    limit: int | None = None,
) -> "pages.Listing[TokenInfo]":
    """List tokens, newest first; `limit` is the page size. Iterate with `async for`, or await one page."""
    params = _query(status, tags, idempotency_key)
    return pages.Listing("/api/v1/waitpoints/tokens", params, limit, TokenInfo.of)


def _list_blocking(
    *,
    status: str | Sequence[str] | None = None,
    tags: str | Sequence[str] | None = None,
    idempotency_key: str | None = None,
    limit: int | None = None,
) -> "pages.SyncListing[TokenInfo]":
    """List tokens, newest first; `limit` is the page size."""
    refuse_loop("wait.list_tokens")
    params = _query(status, tags, idempotency_key)
    return pages.SyncListing(pages.Listing("/api/v1/waitpoints/tokens", params, limit, TokenInfo.of))


def _for_token_blocking(
    token: "str | Token | TokenInfo",
    *,
    timeout: str | float | timedelta | None = None,
    timeout_in_seconds: float | None = None,
) -> TokenResult[Any]:
    """Wait until somebody completes a token, given by id, name, or as create_token gave it."""
    refuse_loop("wait.for_token")
    return drive(_for_token(token, timeout, timeout_in_seconds))


class _Sync:
    """The same calls for code without an event loop."""

    for_ = staticmethod(for_.blocking)
    until = staticmethod(until.blocking)
    for_token = staticmethod(_for_token_blocking)
    create_token = staticmethod(create_token.blocking)
    complete_token = staticmethod(complete_token.blocking)
    retrieve_token = staticmethod(retrieve_token.blocking)
    list_tokens = staticmethod(_list_blocking)


sync = _Sync()
