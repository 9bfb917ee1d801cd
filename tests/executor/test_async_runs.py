"""Coroutine tasks: payload in, output out."""

import asyncio
import decimal
import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from tests.executor.harness import AsyncEngine, output_of
from triggerdev import CompleteTaskWithOutput, Context, schedules, schema_task, task
from triggerdev.sdk.registry import Registry


@dataclass
class Order:
    name: str
    amount: float


class Person(BaseModel):
    name: str
    age: int = Field(ge=0)


class Colour(enum.Enum):
    RED = "red"


async def test_a_task_gets_its_payload_as_the_annotated_type(registry: Registry) -> None:
    @task
    async def take(payload: Order) -> float:
        return payload.amount * 2

    done = await AsyncEngine(registry).run("take", {"name": "tea", "amount": 2})
    assert output_of(done) == 4


@dataclass
class Party:
    guests: int = 3


async def test_without_a_payload_the_defaults_count(registry: Registry) -> None:
    @task
    async def take(payload: Party) -> int:
        return payload.guests

    @task
    async def plain(payload: dict[str, Any]) -> int:
        return len(payload)

    @task
    async def needy(payload: Order) -> None: ...

    assert output_of(await AsyncEngine(registry).run("take")) == 3
    assert output_of(await AsyncEngine(registry).run("plain")) == 0
    done = await AsyncEngine(registry).run("needy")
    assert "name: Field required" in done["error"]["message"]


async def test_a_payload_of_the_wrong_type_fails_without_retry_and_names_field_and_reason(
    registry: Registry,
) -> None:
    @task
    async def take(payload: Order) -> None: ...

    done = await AsyncEngine(registry).run("take", {"name": "tea", "amount": "lots"}, max_attempts=5)
    assert done["outcome"] == "failed"
    assert done["skip_retry"] is True
    assert done["error"]["code"] == "TASK_INPUT_ERROR"
    assert done["error"]["message"].startswith("amount: Input should be a valid number")


async def test_a_schema_task_takes_the_checked_value(registry: Registry) -> None:
    @schema_task(id="greet", schema=Person)
    async def greet(payload: Person) -> str:
        return f"{payload.name} {payload.age}"

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("greet", {"name": "Ada", "age": 36})) == "Ada 36"


async def test_every_mistake_of_a_payload_is_named(registry: Registry) -> None:
    @schema_task(id="greet", schema=Person)
    async def greet(payload: Person) -> None: ...

    done = await AsyncEngine(registry).run("greet", {"age": -1})
    assert done["error"]["message"].startswith("name: Field required; age: Input should be greater")


async def test_a_schema_can_be_a_function(registry: Registry) -> None:
    def even(value: Any) -> int:
        if value % 2:
            raise ValueError("must be even")
        return int(value)

    @schema_task(id="halve", schema=even)
    async def halve(payload: int) -> int:
        return payload // 2

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("halve", 4)) == 2
    engine.messages.clear()
    assert (await engine.run("halve", 3))["error"]["message"] == "payload: must be even"


async def test_dict_and_missing_annotations_are_not_checked(registry: Registry) -> None:
    @task
    async def loose(payload: dict) -> Any:  # type: ignore[type-arg]  # the seed writes it like this
        return payload

    assert output_of(await AsyncEngine(registry).run("loose", [1])) == [1]


async def test_superjson_payloads_have_real_dates(registry: Registry) -> None:
    @task
    async def when(payload: Any) -> str:
        return f"{payload['at'].year} {payload['n'] + 1}"

    text = (
        '{"json":{"at":"1970-01-01T00:00:00.000Z","n":"10"},"meta":{"values":{"at":["Date"],"n":["bigint"]}}}'
    )
    engine = AsyncEngine(registry)
    done = await engine.run("when", payload_type="application/super+json", record=[])
    assert done["outcome"] == "failed"  # no payload at all: None has no keys
    engine.messages.clear()
    start = {"t": "start", "run": {"id": "run_1", "token": 1, "task": "when", "attempt": 1, "payload": text}}
    start["run"]["payload_type"] = "application/super+json"  # type: ignore[index]  # a literal above
    engine.executor.handle(start)
    assert output_of(await engine.until("done")) == "1970 11"


async def test_parameters_are_given_by_name_and_may_be_left_out(registry: Registry) -> None:
    @task
    async def nothing() -> str:
        return "nothing"

    @task
    async def only_ctx(ctx: Context) -> str:
        return f"{ctx.run.id} {ctx.task.id} {ctx.machine.preset} {ctx.attempt.number}"

    @task
    async def other_name(order: Order, ctx: Context) -> str:
        return f"{order.name} {ctx.environment.slug}"

    @task
    async def everything(**values: Any) -> list[str]:
        return sorted(values)

    engine = AsyncEngine(registry)
    expected = {
        "nothing": "nothing",
        "only-ctx": "run_1 only-ctx large-2x 1",
        "other-name": "tea dev",
        "everything": ["ctx", "init", "payload", "task"],
    }
    for task_id, output in expected.items():
        engine.messages.clear()
        done = await engine.run(task_id, {"name": "tea", "amount": 1}, machine="large-2x")
        assert output_of(done) == output


async def test_outputs_of_many_types_become_json(registry: Registry) -> None:
    @task
    async def rich() -> dict[str, Any]:
        return {
            "model": Person(name="Ada", age=36),
            "data": Order("tea", 2),
            "at": datetime(2024, 12, 25, tzinfo=UTC),
            "id": uuid.UUID(int=1),
            "price": decimal.Decimal("1.10"),
            "set": {2, 1},
            "colour": Colour.RED,
            "path": Path("a/b"),
            "big": 2**70,
        }

    output = output_of(await AsyncEngine(registry).run("rich"))
    assert output == {
        "model": {"name": "Ada", "age": 36},
        "data": {"name": "tea", "amount": 2},
        "at": output["at"],
        "id": "00000000-0000-0000-0000-000000000001",
        "price": "1.10",
        "set": [1, 2],
        "colour": "red",
        "path": "a/b",
        "big": 2**70,
    }
    assert datetime.fromisoformat(output["at"]) == datetime(2024, 12, 25, tzinfo=UTC)


async def test_an_output_that_is_no_json_names_the_place(registry: Registry) -> None:
    @task
    async def wrong() -> Any:
        return {"items": [1, {"lock": asyncio.Lock()}]}

    done = await AsyncEngine(registry).run("wrong", max_attempts=3)
    assert done["skip_retry"] is True
    assert done["error"]["code"] == "TASK_OUTPUT_ERROR"
    assert done["error"]["message"] == "output.items[1].lock: a `Lock` object cannot be written as JSON"


async def test_an_output_over_10_mb_is_refused(registry: Registry) -> None:
    @task
    async def huge() -> str:
        return "x" * 10_485_760

    done = await AsyncEngine(registry).run("huge")
    assert done["error"]["code"] == "TASK_OUTPUT_ERROR"


async def test_a_run_can_be_completed_from_anywhere(registry: Registry) -> None:
    @task
    async def early() -> None:
        async def deep() -> None:
            raise CompleteTaskWithOutput({"early": True})

        async with asyncio.TaskGroup() as group:
            group.create_task(deep())

    assert output_of(await AsyncEngine(registry).run("early")) == {"early": True}


async def test_a_scheduled_task_gets_a_payload_object(registry: Registry) -> None:
    @schedules.task(id="report", cron="0 9 * * *")
    async def report(payload: schedules.Payload) -> list[Any]:
        return [payload.timestamp.hour, payload.last_timestamp, len(payload.upcoming), payload.timezone]

    payload = {
        "timestamp": "2024-12-25T09:00:00.000Z",
        "timezone": "UTC",
        "scheduleId": "sched_1",
        "upcoming": ["2024-12-26T09:00:00.000Z"],
    }
    assert output_of(await AsyncEngine(registry).run("report", payload)) == [9, None, 1, "UTC"]


async def test_an_unknown_task_fails_at_once(registry: Registry) -> None:
    done = await AsyncEngine(registry).run("missing")
    assert done["error"]["code"] == "COULD_NOT_FIND_TASK"
    assert done["skip_retry"] is True


async def test_thousands_of_runs_share_the_loop(registry: Registry) -> None:
    @task
    async def noop(payload: int) -> int:
        await asyncio.sleep(0)
        return payload

    engine = AsyncEngine(registry)
    for number in range(2000):
        engine.executor.handle(
            {
                "t": "start",
                "run": {"id": f"run_{number}", "token": 1, "task": "noop", "attempt": 1, "payload": "1"},
            }
        )
    await engine.until("done", 2000)
    assert engine.executor.run_count == 0
    assert {done["outcome"] for done in engine.sent("done")} == {"ok"}
