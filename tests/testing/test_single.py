"""One task by itself, with recorded children."""

from datetime import timedelta
from typing import Any

import pytest

from triggerdev import AbortTaskRunError, logger, task, tasks, testing, wait
from triggerdev.sdk.registry import Registry


@task
async def charge(payload: dict[str, int]) -> int:
    raise AssertionError("children are not executed")


@task
async def order(payload: int) -> dict[str, Any]:
    await wait.for_(days=1)
    logger.info("charging")
    paid = await charge.trigger_and_wait({"amount": payload})
    if not paid.ok:
        return {"failed": str(paid.error)}
    await tasks.trigger("send-receipt", {"paid": paid.output})
    token = await wait.for_token("approval", timeout="1h")
    return {"paid": paid.output, "approved": token.output if token.ok else None}


@pytest.fixture(autouse=True)
def defined(registry: Registry) -> None:
    """What the module's import has defined."""
    registry.add(charge)


async def test_children_are_recorded_and_answered() -> None:
    run = await testing.run_task(order, 5, children={charge: 42, "send-receipt": None})
    assert (run.output, run.attempts) == ({"paid": 42, "approved": None}, 1)
    assert run.waited == timedelta(days=1, hours=1)
    assert run.payloads(charge) == [{"amount": 5}]
    assert run.payloads("send-receipt") == [{"paid": 42}]
    assert run.logs == ["charging"]


async def test_a_child_can_fail() -> None:
    run = await testing.run_task(order, 5, children={"charge": ValueError("card declined")})
    assert run.output == {"failed": "card declined"}


async def test_a_child_can_answer_by_its_payload() -> None:
    async def double(payload: dict[str, int]) -> int:
        return payload["amount"] * 2

    run = await testing.run_task(order, 5, children={"charge": double, "send-receipt": None})
    assert run.output == {"paid": 10, "approved": None}


async def test_tokens_are_completed_by_name() -> None:
    run = await testing.run_task(
        order, 5, children={charge: lambda _: 1, "send-receipt": None}, tokens={"approval": "yes"}
    )
    assert run.output == {"paid": 1, "approved": "yes"}
    assert run.waited == timedelta(days=1)


async def test_a_child_without_an_answer_is_named() -> None:
    run = await testing.run_task(order, 5)
    assert "Nobody said what 'charge' answers; say it: children={'charge': ...}" in run.output["failed"]


async def test_a_child_that_nobody_waits_for_needs_no_answer() -> None:
    @task
    async def fire() -> str:
        return (await charge.trigger({"amount": 1})).task_identifier

    run = await testing.run_task(fire)
    assert (run.output, run.payloads(charge)) == ("charge", [{"amount": 1}])


def test_the_same_without_an_event_loop() -> None:
    @task(retry={"max_attempts": 2})
    def plain(payload: int) -> int:
        if payload < 0:
            raise AbortTaskRunError("negative")
        wait.sync.for_(weeks=1)
        return charge.sync.trigger_and_wait({"amount": payload}).unwrap()

    run = testing.sync.run_task(plain, 5, children={charge: 42})
    assert (run.output, run.waited) == (42, timedelta(weeks=1))
    assert str(testing.sync.run_task(plain, -1).error) == "negative"
