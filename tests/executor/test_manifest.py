"""What a project says of its tasks."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from tests.executor.harness import ROOT
from triggerdev import Retry, TaskDefinitionError, queue, schedules, task
from triggerdev.sdk.registry import Registry
from triggerdev.worker.executor.manifest import describe_tasks
from triggerdev.worker.executor.project import Project


def test_tasks_are_described_with_the_configs_defaults(registry: Registry) -> None:
    shared = queue("emails", concurrency_limit=5)

    @task(
        queue=shared, retry=Retry(max_attempts=7), machine="large-1x", max_duration="5m", description="Mail"
    )
    async def send_email(payload: dict[str, Any]) -> None: ...

    @task(id="plain", queue={"concurrency_limit": 1})
    def plain() -> None: ...

    @schedules.task(id="report", cron=schedules.Cron("0 9 * * *", "America/New_York"))
    async def report() -> None: ...

    settings: Any = {
        "root": ROOT,
        "retry": {"max_attempts": 2},
        "default_machine": "micro",
        "max_duration": 60.0,
        "ttl_ms": 1000,
    }
    tasks, queues = describe_tasks(Project.of(registry, settings))
    by_id = {info["id"]: info for info in tasks}
    assert list(by_id) == ["plain", "report", "send-email"]
    mail, simple = by_id["send-email"], by_id["plain"]
    assert (mail["file"], mail["kind"], mail["description"]) == ("test_manifest.py", "async", "Mail")
    assert mail["line"] > 0
    assert (mail["machine"], mail["max_duration"], mail["retry"]) == (
        "large-1x",
        300,
        Retry(max_attempts=7).info(),
    )
    assert (simple["kind"], simple["machine"], simple["max_duration"]) == ("sync", "micro", 60.0)
    assert (simple["retry"], simple["ttl_ms"]) == ({"max_attempts": 2}, 1000)
    assert by_id["report"]["schedule"] == {"cron": "0 9 * * *", "timezone": "America/New_York"}
    assert queues == [
        {"name": "emails", "concurrency_limit": 5},
        {"name": "task/plain", "concurrency_limit": 1},
    ]


@dataclass
class Order:
    item: str
    amounts: list[int]
    due: date | None
    express: bool = False
    tags: dict[str, str] = field(default_factory=dict)


def test_payloads_are_described_where_that_costs_little(registry: Registry) -> None:
    @task
    async def text(payload: str) -> None: ...

    @task
    async def numbers(payload: list[float]) -> None: ...

    @task
    async def order(payload: Order) -> None: ...

    @task
    async def anything(payload: Any) -> None: ...

    @task
    async def no_payload() -> None: ...

    tasks, _ = describe_tasks(Project.of(registry, {"root": ROOT}))
    assert {info["id"]: info["payload_schema"] for info in tasks} == {
        "text": {"type": "string"},
        "numbers": {"type": "array"},
        "order": {
            "type": "object",
            "properties": {
                "item": {"type": "string"},
                "amounts": {"type": "array"},
                "due": {},
                "express": {"type": "boolean"},
                "tags": {"type": "object"},
            },
            "required": ["item", "amounts", "due"],
        },
        "anything": None,
        "no-payload": None,
    }


def test_a_parameter_that_nothing_is_known_for_is_reported_at_its_place(registry: Registry) -> None:
    @task
    async def odd(payload: Any, database: Any) -> None: ...

    project = Project.of(registry, {"root": ROOT})
    with pytest.raises(
        TaskDefinitionError, match=r"test_manifest.py:\d+: .*odd\(\) has a parameter 'database'"
    ):
        describe_tasks(project)
    ((file, line, error),) = project.check()
    assert (file, line) == (registry.tasks["odd"].file, registry.tasks["odd"].line)
    assert isinstance(error, TaskDefinitionError)
