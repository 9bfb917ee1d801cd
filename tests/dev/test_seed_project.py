"""The project of the specification runs as it stands."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.dev.kit import PATIENCE, Api, Dev, clean_environment, copied, start

pytestmark = pytest.mark.asyncio(loop_scope="module")
SHORT = {"seconds": 0.05, "minutes": 0.001, "hours": 0.00002, "days": 0.000001, "until_seconds": 0.05}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    async with start(copied("seed", tmp_path_factory.mktemp("seed") / "project")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(dev: Dev) -> Api:
    return dev.api()


async def test_every_task_is_found(dev: Dev) -> None:
    ready = await dev.line("ready")
    names = {task["id"] for task in ready["tasks"]}
    assert {"process-data", "add-numbers", "validated-task", "daily-report", "blocking-waits"} <= names
    assert {"internal-processor", "runaway", "traced-task"} <= names


async def test_a_basic_task(api: Api) -> None:
    payload = {"user_id": "123", "data": [1, 2]}
    run = await api.result(await api.trigger("process-data", payload))
    assert run["output"] == {"processed": 2}
    events = (await api.call("GET", f"/api/v1/runs/{run['id']}/events?wait=5"))["events"]
    assert "Processing 2 items for user 123" in [event["message"] for event in events]


async def test_a_plain_function(api: Api) -> None:
    assert await api.output("add-numbers", [1, 2.5]) == 3.5


async def test_a_schema_is_checked_without_retries(api: Api) -> None:
    good = {"name": "Ada", "age": 36, "email": "ada@example.org"}
    assert await api.output("validated-task", good) == {"message": "Hello Ada, age 36"}
    run = await api.result(await api.trigger("validated-task", {**good, "age": -1}))
    assert (run["status"], run["attemptCount"]) == ("FAILED", 1)
    assert "age" in run["error"]["message"]
    assert "greater than or equal to 0" in run["error"]["message"]


async def test_schedules_are_known_with_their_zones(api: Api) -> None:
    schedules = (await api.call("GET", "/api/v1/schedules"))["data"]
    zones = {each["task"]: (each["generator"]["expression"], each["timezone"]) for each in schedules}
    assert zones["daily-report"] == ("0 9 * * *", "UTC")
    assert zones["new-york-report"] == ("0 9 * * *", "America/New_York")


async def test_a_scheduled_task_takes_its_payload(api: Api) -> None:
    payload = {
        "scheduleId": "sched_1",
        "type": "DECLARATIVE",
        "timestamp": "2026-11-23T09:00:00.000Z",
        "timezone": "UTC",
        "upcoming": ["2026-11-24T09:00:00.000Z"],
    }
    output = await api.output("daily-report", payload)
    assert output["report_generated"] is True
    assert output["date"].startswith("2026-11-23T09:00:00")


async def test_a_parent_sees_results_of_children(api: Api) -> None:
    output = await api.output("parent-task")
    assert output["output"] == {"processed": "value"}
    assert output["handle"].startswith("run_")
    assert output["outcomes"][0] == {"processed": "item1"}
    assert "boom" in output["outcomes"][1]  # the failing child is a Result with ok = False


async def test_waits_and_a_token_completed_over_http(api: Api) -> None:
    run_id = await api.trigger("task-with-waits", SHORT)
    await api.until(run_id, lambda run: run["status"] == "WAITING" or run["isCompleted"])
    token = await _token(api, run_id)
    done = await api.call("POST", f"/api/v1/waitpoints/tokens/{token}/complete", {"data": {"by": "Grace"}})
    assert done == {"success": True}
    run = await api.result(run_id)
    assert run["output"] == {"status": "completed", "approved_by": {"by": "Grace"}}


async def _token(api: Api, run_id: str) -> str:
    run = await api.run(run_id)
    while True:
        found = await api.call("GET", "/api/v1/waitpoints/tokens?filter[idempotencyKey]=user-approval-token")
        if found["data"]:
            return str(found["data"][0]["id"])
        run = await api.run(run_id, 20, run["rev"])


async def test_a_token_that_times_out(copy_of: Callable[[str], Path]) -> None:
    async with start(copy_of("seed")) as dev:
        api = dev.api()
        body = {"idempotencyKey": "user-approval-token", "timeout": "1s"}
        await api.call("POST", "/api/v1/waitpoints/tokens", body)
        output = await api.output("task-with-waits", SHORT)
        assert output == {"status": "timed out", "approved_by": None}


async def test_a_plain_function_waits(api: Api) -> None:
    run = await api.result(await api.trigger("blocking-waits", {"seconds": 0.1}))
    assert run["output"] == {"child": {"processed": run["id"]}}


async def test_the_backend_prints_what_it_should(dev: Dev) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "backend.py"),
        cwd=dev.project,
        env=clean_environment(dev.env_file()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, err.decode()
    lines = out.decode().splitlines()
    assert re.fullmatch(r"COMPLETED \{'processed': 2\} Cost: 0(\.0)? cents, Duration: \d+ ms", lines[0])
    assert re.fullmatch(r"batch_\w+ 2", lines[1])
    statuses = [line.split()[1] for line in lines[2:-2]]
    assert statuses[0] in ("DELAYED", "QUEUED", "EXECUTING", "COMPLETED")
    assert statuses[-1] == "COMPLETED"
    assert lines[-2] in ("CANCELED", "COMPLETED")
    assert lines[-1] == "{'processed': 0}"


async def test_advanced_tasks_run(api: Api) -> None:
    assert await api.output("heavy-computation") == {"preset": "large-2x", "cpu": 8, "memory": 16}
    assert await api.output("public-workflow", {"input": "abc"}) == {"output": "ABC"}
    fatal = await api.result(await api.trigger("resilient-task", {"fatal": True}))
    assert (fatal["status"], fatal["attemptCount"]) == ("FAILED", 1)


async def test_global_hooks_log(api: Api) -> None:
    run = await api.result(await api.trigger("child-task", {"data": "x"}))
    events: list[Any] = (await api.call("GET", f"/api/v1/runs/{run['id']}/events?wait=5"))["events"]
    messages = [event["message"] for event in events]
    assert messages == ["Global task start", "Global task success"], json.dumps(events)
