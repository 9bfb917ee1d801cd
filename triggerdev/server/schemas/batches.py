"""Batches: made, filled, asked for."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from triggerdev.server.schemas.common import Wire
from triggerdev.server.schemas.runs import ResultAnswer
from triggerdev.server.schemas.triggers import TriggerOptionsBody


class BatchBody(Wire):
    run_count: int = Field(ge=1, le=1000)
    task_identifiers: list[str] | None = None
    parent_run_id: str | None = None
    resume_parent_on_completion: bool | None = None
    idempotency_key: str | None = Field(None, max_length=2048)
    idempotency_key_ttl: str | None = Field(None, alias="idempotencyKeyTTL")


class BatchCreatedAnswer(Wire):
    id: str = Field(examples=["batch_4m1kd3yhv7hdgd8gzxh2c"])
    run_count: int
    is_cached: bool


class BatchItemLine(Wire):
    """One line of the NDJSON stream."""

    index: int = Field(ge=0)
    task: str
    payload: Any = None
    options: TriggerOptionsBody | None = None


class ItemsAnswer(Wire):
    id: str
    items_accepted: int
    items_deduplicated: int
    sealed: bool = Field(description="True when every item has arrived; the batch takes no more.")
    enqueued_count: int | None = Field(None, description="Only while the batch is not sealed.")
    expected_count: int | None = None


class LegacyItem(Wire):
    task: str | None = None
    payload: Any = None
    options: TriggerOptionsBody | None = None


class LegacyBatchBody(Wire):
    items: list[LegacyItem]
    parent_run_id: str | None = None


class LegacyBatchAnswer(Wire):
    id: str
    run_count: int


class LegacyTaskBatchAnswer(Wire):
    batch_id: str
    runs: list[str]


class BatchItemError(Wire):
    index: int
    task_identifier: str
    error: str


class BatchProcessing(Wire):
    completed_at: datetime | None = None
    errors: list[BatchItemError]


class BatchAnswer(Wire):
    id: str
    status: Literal["PENDING", "PROCESSING", "COMPLETED", "PARTIAL_FAILED", "ABORTED"]
    idempotency_key: str | None = None
    created_at: datetime
    updated_at: datetime
    run_count: int
    runs: list[str]
    processing: BatchProcessing


class BatchResultsAnswer(Wire):
    id: str
    items: list[ResultAnswer]
