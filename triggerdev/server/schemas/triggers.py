"""Triggering: one run, many of one moment."""

from typing import Any, Literal

from pydantic import Field

from triggerdev.server.schemas.common import Wire


class QueueOption(Wire):
    name: str
    concurrency_limit: int | None = Field(
        None, description="Makes the queue if there is none, and changes its limit for all runs in it."
    )


class DebounceOption(Wire):
    key: str = Field(description="One run for each task and key, as long as it is delayed.", max_length=512)
    delay: str = Field(description='How long nothing must come before it starts ("5s"); a second at least.')
    mode: Literal["leading", "trailing"] = Field("leading", description="Whose payload it has.")
    max_delay: str | None = Field(None, description="It is put off no longer than that.")


class TriggerOptionsBody(Wire):
    payload_type: str | None = Field(
        None, description="application/json, application/super+json, text/plain or application/store."
    )
    delay: str | None = Field(None, description='A duration ("2h30m") or an ISO date.')
    ttl: str | float | None = Field(
        None, description="Duration or seconds until a run that was not started expires."
    )
    priority: float | None = Field(None, description="Seconds of head start in the queue.")
    tags: str | list[str] | None = Field(None, description="At most 10 of at most 128 characters.")
    metadata: dict[str, Any] | None = None
    queue: QueueOption | None = None
    concurrency_key: str | None = None
    idempotency_key: str | None = Field(None, max_length=2048)
    idempotency_key_ttl: str | None = Field(None, alias="idempotencyKeyTTL")
    machine: str | None = None
    max_attempts: int | None = None
    max_duration: float | None = Field(None, description="Seconds of running; waiting does not count.")
    test: bool | None = None
    debounce: DebounceOption | None = None


class TriggerBody(Wire):
    payload: Any = Field(
        None, description="Serialised by the sender (see options.payloadType), or any JSON value."
    )
    options: TriggerOptionsBody | None = None


class TriggerAnswer(Wire):
    id: str = Field(examples=["run_4m1kd3yhv7hdgd8gzxh2c"])
    is_cached: bool = Field(description="True when an idempotency key found an existing run.")


class TriggersItem(TriggerBody):
    task: str
    key: str | None = Field(
        None, description="Makes a repeat of this trigger, within an hour, no second run."
    )
    traceparent: str | None = Field(None, description="The span of the caller, as the header has it.")
    tracestate: str | None = None


class TriggersBody(Wire):
    items: list[TriggersItem]


class TriggersResult(Wire):
    """A run, or why there is none."""

    id: str | None = None
    is_cached: bool | None = None
    token: str | None = Field(None, description="A public access token that may read the run.")
    status: int | None = Field(
        None, description="Of the error: what a single trigger would be answered with."
    )
    error: str | None = None
    should_retry: bool | None = None


class TriggersAnswer(Wire):
    results: list[TriggersResult] = Field(description="In the order of the items.")
