"""Tasks, health, and who asks."""

from typing import Any, Literal

from triggerdev.server.schemas.common import Wire
from triggerdev.server.schemas.triggers import QueueOption


class ClaimsAnswer(Wire):
    sub: str
    pub: bool


class TaskItem(Wire):
    id: str
    file_path: str | None = None
    line: int | None = None
    kind: Literal["async", "sync"] | None = None
    trigger_source: Literal["standard", "schedule"]
    queue: QueueOption
    schedule: dict[str, Any] | None = None
    payload_schema: dict[str, Any] | None = None


class TasksAnswer(Wire):
    tasks: list[TaskItem]


class HealthAnswer(Wire):
    status: Literal["ok"]
    version: str
