"""Reading and changing runs."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.server import ask
from tests.server.toy_worker import ToyWorker
from triggerdev.server.context import Api

REQUIRED = """
    id status taskIdentifier isQueued isExecuting isWaiting isCompleted isSuccess isFailed isCancelled isTest
    createdAt updatedAt tags costInCents baseCostInCents durationMs depth triggerFunction relatedRuns
    attemptCount rev
""".split()  # noqa: SIM905 - a list of words reads better


async def test_a_run_shows_what_it_is_and_nothing_null(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    options = {"tags": ["a"], "metadata": {"k": 1}, "ttl": "90m"}
    run = await ask.finished(client, await ask.trigger(client, options=options))
    assert [name for name in REQUIRED if name not in run] == []
    assert [name for name, value in run.items() if value is None] == []
    assert (run["tags"], run["metadata"], run["ttl"], run["attemptCount"]) == (["a"], {"k": 1}, "1h30m", 1)
    assert run["version"] == "20261123.1"
    assert run["createdAt"].endswith("Z")


async def test_a_failed_run_shows_its_error(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run = await ask.finished(client, await ask.trigger(client, "child-task", payload={"data": "boom"}))
    assert (run["status"], run["isFailed"], run["isSuccess"]) == ("FAILED", True, False)
    assert run["error"] == {"message": "boom", "name": "ValueError"}
    assert "output" not in run


async def test_an_internal_error_shows_its_code(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client, "held")
    await worker.executing(run_id)
    worker.finish(run_id, outcome="timed_out")
    run = await ask.finished(client, run_id)
    assert (run["status"], run["isCompleted"], run["isFailed"]) == ("TIMED_OUT", True, True)
    assert run["error"]["name"] == "MAX_DURATION_EXCEEDED"


async def test_an_unknown_run_is_404_and_not_retried(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v3/runs/run_nope")
    assert (answer.status_code, answer.json()) == (404, {"error": "Run not found"})
    assert answer.headers["x-should-retry"] == "false"


async def test_a_long_poll_answers_when_the_run_changes(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client, "held")
    await worker.executing(run_id)
    rev = (await ask.run(client, run_id))["rev"]
    poll = asyncio.create_task(ask.run(client, run_id, wait=20, since=rev))
    worker.finish(run_id)
    run = await poll
    assert run["rev"] > rev
    assert run["status"] == "COMPLETED"


async def test_a_long_poll_ends_at_its_time(client: httpx.AsyncClient) -> None:
    run = await ask.run(client, await ask.trigger(client, "held"), wait=0.05)
    assert run["status"] == "QUEUED"


async def test_a_long_poll_answers_at_once_when_the_server_stops(client: httpx.AsyncClient, api: Api) -> None:
    run_id = await ask.trigger(client, "held")
    rev = (await ask.run(client, run_id))["rev"]
    poll = asyncio.create_task(ask.run(client, run_id, wait=20, since=rev))
    while not api.is_holding():
        await asyncio.sleep(0)
    api.release()
    assert (await poll)["status"] == "QUEUED"


async def test_results_are_there_once_the_run_is_final(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client, "held")
    assert (await client.get(f"/api/v1/runs/{run_id}/result")).status_code == 404
    await worker.executing(run_id)
    worker.finish(run_id, output='{"a":1}')
    await ask.finished(client, run_id)
    result = (await client.get(f"/api/v1/runs/{run_id}/result")).json()
    assert (result["ok"], result["output"], result["outputType"]) == (True, '{"a":1}', "application/json")


async def test_lists_page_through_everything_newest_first(client: httpx.AsyncClient) -> None:
    made = [await ask.trigger(client) for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"page[size]": 2}
    while True:
        page = (await client.get("/api/v1/runs", params=query)).json()
        seen += [run["id"] for run in page["data"]]
        if "next" not in page["pagination"]:
            break
        query["page[after]"] = page["pagination"]["next"]
    assert seen == made[::-1]
    back = (
        await client.get(
            "/api/v1/runs", params={"page[size]": 2, "page[before]": page["pagination"]["previous"]}
        )
    ).json()
    assert [run["id"] for run in back["data"]] == made[::-1][2:4]
    assert page["data"][0]["env"] == {"id": "env_dev", "name": "dev"}


async def test_lists_filter(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    done = await ask.trigger(client, options={"tags": ["a", "b"]})
    held = await ask.trigger(
        client, "held", options={"tags": ["b"], "test": True, "queue": {"name": "q1", "concurrencyLimit": 1}}
    )
    delayed = await ask.trigger(client, options={"delay": "1h", "machine": "micro"})
    await ask.finished(client, done)
    await worker.executing(held)

    async def found(**filters: str) -> list[str]:
        query = {f"filter[{name.replace('__', '][')}]": value for name, value in filters.items()}
        answer = await client.get("/api/v1/runs", params=query)
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()["data"]]

    assert await found(status="COMPLETED,DELAYED") == [delayed, done]
    assert await found(status="EXECUTING") == [held]
    assert await found(taskIdentifier="held") == [held]
    assert await found(tag="b") == [held, done]
    assert await found(isTest="true") == [held]
    assert await found(queue="q1") == [held]
    assert await found(queue="task/process-data") == [delayed, done]
    assert await found(machine="micro") == [delayed]
    assert await found(version="20261123.1") == [held, done]
    assert await found(createdAt__period="1d") == [delayed, held, done]
    assert await found(createdAt__to="2001-01-01") == []
    assert await found(createdAt__from="0") == [delayed, held, done]
    assert await found(batch="batch_none") == []
    assert await found(region="us") == []


@pytest.mark.parametrize(
    "query",
    [
        "page[size]=0",
        "page[size]=101",
        "page[size]=x",
        "filter[status]=DONE",
        "filter[isTest]=maybe",
        "filter[createdAt][from]=yesterday",
        "filter[createdAt][period]=1month",
    ],
)
async def test_a_bad_query_is_400(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/runs?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, "Query Error")
    assert answer.json()["details"]


async def test_cancelling_ends_an_executing_run(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client, "held")
    await worker.executing(run_id)
    assert (await client.post(f"/api/v2/runs/{run_id}/cancel")).json() == {"id": run_id}
    run = await ask.finished(client, run_id)
    assert (run["status"], run["isCancelled"], run["isCompleted"]) == ("CANCELED", True, True)
    assert (await client.post(f"/api/v2/runs/{run_id}/cancel")).status_code == 200


async def test_a_replay_is_a_new_run_of_the_same_payload(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    first = await ask.trigger(client, payload={"data": [1, 2, 3]}, options={"tags": ["a"]})
    second = (await client.post(f"/api/v1/runs/{first}/replay")).json()["id"]
    run = await ask.finished(client, second)
    assert second != first
    assert (run["output"], run["tags"]) == ({"processed": 3}, ["a"])


async def test_a_replay_takes_overrides(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    first = await ask.trigger(client)
    body = {
        "payload": '{"json":{"data":[1]}}',
        "payloadType": "application/super+json",
        "tags": ["x"],
        "idempotencyKey": "k",
        "idempotencyKeyTTL": "1h",
    }
    answer = await client.post(f"/api/v1/runs/{first}/replay", json=body)
    run = await ask.finished(client, answer.json()["id"])
    assert (run["output"], run["tags"], run["idempotencyKey"]) == ({"processed": 1}, ["x"], "k")


async def test_a_replay_refuses_unknown_fields(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/api/v1/runs/{await ask.trigger(client)}/replay", json={"colour": "red"})
    assert answer.status_code == 400
    assert "colour" in answer.json()["error"]


async def test_a_delayed_run_can_be_rescheduled(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client, options={"delay": "1h"})
    path = f"/api/v1/runs/{run_id}/reschedule"
    assert (await client.post(path, json={"delay": "2h"})).json()["status"] == "DELAYED"
    bad = await client.post(path, json={"delay": "soon"})
    assert bad.status_code == 400
    assert bad.json()["error"].startswith("Invalid delay")
    assert (await client.post(path, json={"delay": 5})).status_code == 400
    await client.post(path, json={"delay": "1970-01-01T00:00:00.000Z"})
    await ask.finished(client, run_id)
    late = await client.post(path, json={"delay": "1h"})
    assert late.status_code == 422


async def test_tags_are_added_once(client: httpx.AsyncClient) -> None:
    run_id = await ask.trigger(client, options={"tags": ["a"]})
    path = f"/api/v1/runs/{run_id}/tags"
    assert (await client.post(path, json={"tags": ["a", "b"]})).json() == {
        "message": "Successfully set 1 new tags."
    }
    assert (await client.post(path, json={"tags": "c"})).status_code == 200
    assert (await ask.run(client, run_id))["tags"] == ["a", "b", "c"]
    many = await client.post(path, json={"tags": [str(n) for n in range(10)]})
    assert many.status_code == 422
    assert (await client.post(path, json={"tags": [1]})).status_code == 400


async def test_metadata_is_replaced_and_edited(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/runs/{await ask.trigger(client)}/metadata"
    assert (await client.get(path)).json() == {"metadata": {}}
    assert (await client.put(path, json={"metadata": {"a": 1}})).json() == {"metadata": {"a": 1}}
    operations = [{"type": "increment", "key": "a", "value": 2}, {"type": "set", "key": "b", "value": [1]}]
    assert (await client.put(path, json={"operations": operations})).json()["metadata"] == {"a": 3, "b": [1]}
    assert (await client.get(path)).json() == {"metadata": {"a": 3, "b": [1]}}
    assert (await client.put(path, json={"metadata": {"a": "x" * 262_144}})).status_code == 413


async def test_events_are_the_lines_of_a_run(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client)
    await ask.finished(client, run_id)
    body = (await client.get(f"/api/v1/runs/{run_id}/events")).json()
    (event,) = [each for each in body["events"] if each["level"] != "TRACE"]
    assert body["isCompleted"]
    assert (event["message"], event["stream"], event["attempt"]) == ("ran process-data", "stdout", 1)
    assert "properties" not in event
    later = await client.get(f"/api/v1/runs/{run_id}/events", params={"after": event["seq"], "wait": 20})
    assert later.json() == {"events": [], "isCompleted": True}


async def test_events_can_be_followed_to_the_end(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client, "held")
    await worker.executing(run_id)
    seen: list[str] = []

    async def follow() -> None:
        after = 0
        while True:
            answer = await client.get(f"/api/v1/runs/{run_id}/events", params={"after": after, "wait": 20})
            events = answer.json()["events"]
            seen.extend(event["message"] for event in events)
            if not events and answer.json()["isCompleted"]:
                return
            after = events[-1]["seq"] if events else after

    following = asyncio.create_task(follow())
    worker.log(run_id, "one", "two")
    worker.log(run_id, "three")
    worker.finish(run_id)
    await asyncio.wait_for(following, 10)
    assert seen == ["one", "two", "three"]


async def test_an_idempotency_key_is_freed(client: httpx.AsyncClient, api: Api) -> None:
    options = {"idempotencyKey": "a/b c"}
    first = await ask.trigger(client, options=options)
    assert await ask.trigger(client, options=options) == first
    path = "/api/v1/idempotencyKeys/a%2Fb%20c/reset"
    freed = await client.post(path, json={"taskIdentifier": "process-data"})
    assert (freed.status_code, freed.json()) == (200, {"id": "a/b c"})
    assert await ask.trigger(client, options=options) != first
    for body, status, message in (
        ({"taskIdentifier": "child-task"}, 404, "Idempotency key not found"),
        ({}, 400, "taskIdentifier"),
        ({"taskIdentifier": ""}, 400, "taskIdentifier"),
    ):
        refused = await client.post(path, json=body)
        assert (refused.status_code, message in refused.text) == (status, True), refused.text
    token = api.signer.sign(("write:tasks:child-task",))
    headers = {"authorization": f"Bearer {token}"}
    refused = await client.post(path, json={"taskIdentifier": "process-data"}, headers=headers)
    assert refused.status_code == 403
