"""POST /api/v1/triggers: many triggers that have nothing to do with each other."""

from typing import Any

import httpx
import pytest

from tests.server import ask
from tests.server.toy_worker import ToyWorker
from triggerdev.protocol import MAX_PAYLOAD_BYTES
from triggerdev.server.context import Api

PATH = "/api/v1/triggers"
JOB = {"task": "process-data", "payload": {"data": [1, 2]}}


async def many(client: httpx.AsyncClient, *items: Any) -> list[dict[str, Any]]:
    answer = await client.post(PATH, json={"items": items})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def test_each_trigger_makes_a_run_in_order(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    results = await many(client, *({**JOB, "options": {"tags": [f"n{n}"]}} for n in range(20)))
    assert len({result["id"] for result in results}) == 20
    for n, result in enumerate(results[:3]):
        run = await ask.finished(client, result["id"])
        assert (run["output"], run["tags"]) == ({"processed": 2}, [f"n{n}"])


async def test_one_that_is_refused_concerns_no_other(client: httpx.AsyncClient) -> None:
    bad_items: list[Any] = [
        {"task": "proces-data"},
        {"task": "process-data", "options": {"tags": [str(n) for n in range(11)]}},
        {"task": "process-data", "options": {"delay": "soon"}},
        {"task": "process-data", "options": [1]},
        {"task": "process-data", "payload": "x" * (MAX_PAYLOAD_BYTES + 1)},
        {"payload": 1},
        "process-data",
    ]
    first, *bad, last = await many(client, JOB, *bad_items, JOB)
    assert "id" in first
    assert "id" in last
    assert [result["status"] for result in bad] == [404, 422, 422, 400, 413, 400, 400]
    assert "'process-data'" in bad[0]["error"]
    assert bad[0]["shouldRetry"] is False
    assert "Invalid delay" in bad[2]["error"]


async def test_a_repeat_makes_no_second_run(client: httpx.AsyncClient, api: Api) -> None:
    item = {**JOB, "key": "abc"}
    first, other = await many(client, item, {**JOB, "key": "def"})
    again, single = (await many(client, item))[0], await _alone(client, "def")
    assert again["id"] == first["id"]
    assert single == other["id"]
    api.repeats._answers.clear()  # as after a restart
    assert (await many(client, item))[0]["id"] == first["id"]


async def _alone(client: httpx.AsyncClient, key: str) -> str:
    headers = {"x-trigger-request-idempotency-key": key}
    answer = await client.post("/api/v1/tasks/process-data/trigger", json={}, headers=headers)
    return str(answer.json()["id"])


async def test_the_token_of_a_run_reads_that_run(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    mine, other = await many(client, JOB, JOB)
    headers = {"authorization": f"Bearer {mine['token']}"}
    assert (await anonymous.get(f"/api/v3/runs/{mine['id']}", headers=headers)).status_code == 200
    assert (await anonymous.get(f"/api/v3/runs/{other['id']}", headers=headers)).status_code == 403


async def test_a_token_triggers_the_tasks_of_its_scopes(anonymous: httpx.AsyncClient, api: Api) -> None:
    token = api.signer.sign(["trigger:tasks:process-data"])
    headers = {"authorization": f"Bearer {token}"}
    answer = await anonymous.post(PATH, json={"items": [JOB, {"task": "held"}]}, headers=headers)
    allowed, refused = answer.json()["results"]
    assert "id" in allowed
    assert refused["status"] == 403
    assert (await anonymous.post(PATH, json={"items": [JOB]})).status_code == 401


@pytest.mark.parametrize("items", [None, [], {}, [JOB] * 1001])
async def test_what_is_no_list_of_up_to_a_thousand_is_refused(client: httpx.AsyncClient, items: Any) -> None:
    answer = await client.post(PATH, json={"items": items})
    assert answer.status_code == 400
    assert "items" in answer.json()["error"]
