"""Queues."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from triggerdev.engine.commands.queues import MOST
from triggerdev.server.schemas.common import PageNumbers, Wire

QueueType = Literal["id", "task", "custom"]


class QueueConcurrency(Wire):
    current: int | None
    base: int | None = Field(description="What the task's code, or a trigger, has said.")
    override: int | None
    overridden_at: datetime | None
    overridden_by: str | None


class QueueAnswer(Wire):
    id: str
    name: str = Field(description="Of a task's own queue, the task's id.")
    type: Literal["task", "custom"]
    running: int
    queued: int
    paused: bool
    concurrency_limit: int | None = Field(description="Of each concurrency key; null is no limit.")
    concurrency: QueueConcurrency


class QueueEnvironment(Wire):
    running: int
    queued: int
    concurrency_limit: int | None


class QueuePage(Wire):
    data: list[QueueAnswer]
    pagination: PageNumbers
    environment: QueueEnvironment


class QueueBody(Wire):
    type: QueueType = "id"


class QueuePauseBody(QueueBody):
    action: Literal["pause", "resume"]


class QueueOverrideBody(QueueBody):
    concurrency_limit: int = Field(ge=0, le=MOST, strict=True)
