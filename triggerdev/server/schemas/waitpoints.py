"""Waitpoint tokens."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from triggerdev.server.schemas.common import Cursors, Wire


class TokenBody(Wire):
    timeout: str | None = Field(
        None, description='A duration ("1h") or an ISO date; none: it never times out.'
    )
    idempotency_key: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    idempotency_key_ttl: str | None = Field(None, alias="idempotencyKeyTTL")
    tags: str | list[str] | None = None


class TokenCreatedAnswer(Wire):
    id: str = Field(examples=["waitpoint_4m1kd3yhv7hdgd8gzxh2c"])
    is_cached: bool
    url: str = Field(description="A POST to this URL completes the token; it needs no key.")


class TokenItem(Wire):
    id: str
    url: str
    status: Literal["WAITING", "COMPLETED", "TIMED_OUT"]
    created_at: datetime
    completed_at: datetime | None = None
    timeout_at: datetime | None = None
    idempotency_key: str | None = None
    idempotency_key_expires_at: datetime | None = None
    tags: list[str]


class TokenAnswer(TokenItem):
    output: str | None = None
    output_type: str | None = None
    output_is_error: bool | None = None


class TokenPage(Wire):
    data: list[TokenItem]
    pagination: Cursors


class CompleteBody(Wire):
    data: Any = Field(None, description="What the waiting run gets.")
