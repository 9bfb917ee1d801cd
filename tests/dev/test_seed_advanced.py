"""Every task of the seed's chapter "Advanced Tasks" ends as the chapter says, under a real `trigger dev`."""

import asyncio
import itertools
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.dev.kit import PATIENCE, Api, Dev, clean_environment, copied, start

pytestmark = pytest.mark.asyncio(loop_scope="module")
Run = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    async with start(copied("seed", tmp_path_factory.mktemp("seed") / "project")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(dev: Dev) -> Api:
    return dev.api()


async def ended(api: Api, task: str, payload: Any = None, **options: Any) -> Run:
    run: Run = await api.result(await api.trigger(task, payload, **options))
    return run


async def lines(api: Api, run: Run, check: Callable[[list[Any]], bool]) -> list[Any]:
    """Read what a run has logged, once it is as wanted: lines are stored apart from the run's state."""
    events: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        while not check(events):
            events = (await api.call("GET", f"/api/v1/runs/{run['id']}/events?wait=5"))["events"]
    return events


def messages(events: list[Any]) -> list[str]:
    return [event["message"] for event in events]


# -- tags


async def test_process_user_tags_its_run(api: Api) -> None:
    run = await ended(api, "process-user", {"user_id": "123", "org_id": "abc"}, tags=["priority", "user_123"])
    assert run["output"] == {"processed": True, "run": run["id"]}
    assert run["tags"] == ["priority", "user_123", "org_abc"]
    found = await api.call("GET", "/api/v1/runs?filter[tag]=org_abc")
    assert [each["id"] for each in found["data"]] == [run["id"]]


# -- queues


async def test_the_sequential_task_runs_one_after_the_other(api: Api) -> None:
    runs = await asyncio.gather(*(ended(api, "sequential-task", {"n": n}) for n in range(5)))
    assert [run["status"] for run in runs] == ["COMPLETED"] * 5
    spans = sorted((run["startedAt"], run["finishedAt"]) for run in runs)
    for (_, finished), (started, _) in itertools.pairwise(spans):
        assert finished <= started


async def test_send_email_is_in_the_shared_queue(api: Api) -> None:
    run = await ended(api, "send-email", {"to": "ada@example.org"})
    assert run["output"] == {"sent_to": "ada@example.org"}
    found = await api.call("GET", "/api/v1/runs?filter[queue]=email-processing")
    assert [each["id"] for each in found["data"]] == [run["id"]]


async def test_process_user_data_triggers_into_a_queue_of_the_user(api: Api) -> None:
    run = await ended(api, "process-user-data", {"user_id": "7"})
    child = await api.result(run["output"]["handle"])
    assert (child["taskIdentifier"], child["status"]) == ("sequential-task", "COMPLETED")
    found = await api.call("GET", "/api/v1/runs?filter[queue]=user-7")
    assert [each["id"] for each in found["data"]] == [child["id"]]


# -- errors and retries


async def test_a_fatal_error_is_not_retried(api: Api) -> None:
    run = await ended(api, "resilient-task", {"fatal": True})
    assert (run["status"], run["attemptCount"]) == ("FAILED", 1)
    assert run["error"]["message"] == "Cannot retry this error"
    assert "no way back" in str(run["error"]["causes"])
    events = await lines(api, run, lambda found: "Global task failure" in messages(found))
    assert "Global task success" not in messages(events)


async def test_other_errors_are_logged_and_retried_when_the_hook_says(api: Api) -> None:
    run = await ended(api, "resilient-task", {"succeed_on": 3, "retry_in": 0.2})
    assert (run["status"], run["attemptCount"]) == ("COMPLETED", 3)
    assert run["output"] == {"result": 3, "attempt": 3, "status": None}
    events = await lines(api, run, lambda found: "Global task success" in messages(found))
    failures = [event for event in events if event["message"] == "Task resilient-task failed"]
    assert [(event["level"], event["properties"]) for event in failures] == [
        ("ERROR", {"error": "attempt 1"}),
        ("ERROR", {"error": "attempt 2"}),
    ]


async def test_the_hooks_minute_is_waited_for(api: Api) -> None:
    run_id = await api.trigger("resilient-task", {"succeed_on": 2})
    events = await lines(api, {"id": run_id}, lambda found: "Task resilient-task failed" in messages(found))
    assert "Global task success" not in messages(events)
    run = await api.until(run_id, lambda run: bool(run["attemptCount"] == 1 and run.get("error")))
    assert not run["isCompleted"]
    await api.call("POST", f"/api/v2/runs/{run_id}/cancel")
    assert (await api.result(run_id))["status"] == "CANCELED"


@asynccontextmanager
async def answering(*statuses: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers with these statuses in turn, the last one for ever; gives its requests, too."""
    requests: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        status = statuses[min(len(requests), len(statuses)) - 1]
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", requests


async def test_a_request_is_tried_again_while_the_condition_holds(api: Api) -> None:
    async with answering(503, 429, 200) as (url, requests):
        run = await ended(api, "resilient-task", {"url": url})
    assert run["output"] == {"result": 3, "attempt": 1, "status": 200}
    assert len(requests) == 3


async def test_a_request_that_goes_on_failing_is_given_up(api: Api) -> None:
    async with answering(500) as (url, requests):
        run = await ended(api, "resilient-task", {"url": url})
    assert run["output"] == {"result": 3, "attempt": 1, "status": 500}
    assert len(requests) == 5


# -- machines


async def test_heavy_computation_knows_its_machine(api: Api) -> None:
    assert await api.output("heavy-computation") == {"preset": "large-2x", "cpu": 8, "memory": 16}
    machine = {"preset": "medium-1x"}
    assert await api.output("heavy-computation", machine=machine) == {
        "preset": "medium-1x",
        "cpu": 1,
        "memory": 2,
    }


async def test_runaway_is_ended_at_its_max_duration(api: Api) -> None:
    run_id = await api.trigger("runaway")
    beside = [await api.output("charge-customer", {"amount": n}) for n in range(3)]
    run = await api.result(run_id)
    assert (run["status"], run["attemptCount"]) == ("TIMED_OUT", 1)
    assert 4500 <= run["durationMs"] < 30_000
    assert "max_duration of 5 s" in run["error"]["message"]
    assert beside == [{"charged": n} for n in range(3)]


# -- idempotency


async def test_a_payment_whose_task_crashes_is_charged_once(api: Api) -> None:
    run = await ended(api, "process-payment", {"order_id": "o1", "amount": 5, "crash_once": True})
    assert (run["status"], run["attemptCount"], run["output"]["attempt"]) == ("COMPLETED", 2, 2)
    (charge,) = run["relatedRuns"]["children"]
    assert charge["id"] == run["output"]["charge"]
    assert charge["idempotencyKey"] == "payment-o1"
    assert (await api.result(charge["id"]))["output"] == {"charged": 5}
    other = await ended(api, "process-payment", {"order_id": "o1", "amount": 5})
    assert other["output"]["charge"] != charge["id"]  # the key belongs to its run


async def test_the_same_payload_is_processed_once(api: Api) -> None:
    payloads = [{"amount": 1, "x": 2}, {"x": 2, "amount": 1}, {"amount": 1, "x": 3}]
    first, again, other = [(await api.output("deduplicated-task", each))["handle"] for each in payloads]
    assert first == again != other


# -- metadata


async def test_the_batch_processor_shows_its_progress(api: Api) -> None:
    items = [{"id": f"item_{n}"} for n in range(4)]
    run = await ended(api, "batch-processor", {"items": items})
    assert run["output"] == {"total_processed": 4}
    assert run["metadata"] == {
        "progress": 100,
        "total_items": 4,
        "processed_items": 4,
        "status": "completed",
        "logs": [f"Processed item {n}/4" for n in range(1, 5)],
        "current_item": "item_3",
    }


async def test_children_report_to_their_parent(api: Api) -> None:
    run = await ended(api, "reporting-parent", {"children": 5})
    expected = {"children_completed": 5, "child_status": "processing"}
    assert run["metadata"] == run["output"]["metadata"] == expected
    alone = await ended(api, "reporting-child")
    assert (alone["output"], alone["metadata"]) == (
        {"processed": True},
        {"child_status": "processing", "children_completed": 1},
    )


# -- hidden tasks


async def test_a_public_workflow_uses_a_hidden_task(api: Api) -> None:
    run = await ended(api, "public-workflow", {"input": "hello"})
    assert run["output"] == {"output": "HELLO"}
    (hidden,) = run["relatedRuns"]["children"]
    assert (hidden["taskIdentifier"], hidden["triggerFunction"]) == ("internal-processor", "triggerAndWait")
    assert await api.output("internal-processor", {"data": "x"}) == {"processed": "X"}


# -- logging, tracing, usage


async def test_the_traced_task_logs_with_its_properties(api: Api) -> None:
    run = await ended(api, "traced-task", {"user_id": "u1"})
    assert run["output"] == {"id": "u1", "name": "Ada"}
    events = await lines(api, run, lambda found: "Global task success" in messages(found))
    started = next(event for event in events if event["message"] == "Task started")
    assert (started["level"], started["properties"]) == ("INFO", {"user_id": "u1"})
    assert "User fetched" not in messages(events)  # log_level = "info"


async def test_the_monitored_task_measures_a_part_of_itself(api: Api) -> None:
    output = await api.output("monitored-task")
    assert output["length"] == 1000
    assert 0 <= output["measured_ms"] < 1000
    assert output["cents_before"] >= 0
    assert output["pid"] > 0


# -- the backend


async def test_the_backends_blocking_half_runs_in_a_program_without_a_loop(dev: Dev) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import backend; backend.blocking(); backend.blocking()"),
        cwd=dev.project,
        env=clean_environment(dev.env_file()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, out.decode()) == (0, "{'processed': 0}\n" * 2), err.decode()


async def test_the_backend_runs_twice_beside_itself(dev: Dev) -> None:
    async def run() -> list[str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "backend.py"),
            cwd=dev.project,
            env=clean_environment(dev.env_file()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 2 * PATIENCE)
        assert process.returncode == 0, err.decode()
        return out.decode().splitlines()

    for said in await asyncio.gather(run(), run()):
        assert re.match(r"COMPLETED \{'processed': 2\} Cost: ", said[0])
        assert said[-1] == "{'processed': 0}"
