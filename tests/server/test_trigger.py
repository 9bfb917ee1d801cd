"""POST /api/v1/tasks/{id}/trigger."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.server import ask
from tests.server.toy_worker import ToyWorker
from triggerdev.protocol import MAX_PAYLOAD_BYTES

PATH = "/api/v1/tasks/process-data/trigger"


async def test_a_triggered_run_gives_its_output(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    payload = json.dumps({"json": {"userId": "1", "data": [1, 2, 3]}})
    body = {"payload": payload, "options": {"payloadType": "application/super+json", "payloadSize": 40}}
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 200
    assert answer.json() == {"id": answer.json()["id"], "isCached": False}
    run = await ask.finished(client, answer.json()["id"])
    assert (run["status"], run["output"]) == ("COMPLETED", {"processed": 3})
    assert run["payload"] == {"userId": "1", "data": [1, 2, 3]}


@pytest.mark.parametrize(
    ("body", "payload", "payload_type"),
    [
        ({"payload": {"data": [1]}}, '{"data":[1]}', "application/json"),
        ({"payload": None}, "null", "application/json"),
        ({}, None, "application/json"),
        ({"payload": '{"data": [1]}'}, '{"data": [1]}', "application/json"),
        ({"payload": "hello"}, "hello", "text/plain"),
        ({"payload": "12", "options": {"payloadType": "text/plain"}}, "12", "text/plain"),
        ({"options": {"payloadType": "application/json", "payloadSize": 0}}, None, "application/json"),
        (
            {"payload": {"json": 1}, "options": {"payloadType": "application/super+json"}},
            '{"json":1}',
            "application/super+json",
        ),
        ({"payload": 12345678901234567890}, "12345678901234567890", "application/json"),
    ],
)
async def test_payloads_arrive_as_text_with_their_type(
    client: httpx.AsyncClient, worker: ToyWorker, body: dict[str, Any], payload: str | None, payload_type: str
) -> None:
    answer = await client.post("/api/v1/tasks/held/trigger", json=body)
    await worker.executing(answer.json()["id"])
    started = worker.started[answer.json()["id"]]
    assert (started["payload"], started["payload_type"]) == (payload, payload_type)


async def test_a_task_id_may_hold_a_slash_and_a_space(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run = await ask.finished(client, await ask.trigger(client, "a%2Fb%20c", payload=1))
    assert run["taskIdentifier"] == "a/b c"


async def test_an_idempotency_key_finds_the_first_run(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    options = {"idempotencyKey": "k", "idempotencyKeyOptions": {"key": "shown", "scope": "run"}}
    first = await client.post(PATH, json={"options": options})
    second = await client.post(PATH, json={"options": options})
    assert second.json() == {"id": first.json()["id"], "isCached": True}
    assert (await ask.run(client, first.json()["id"]))["idempotencyKey"] == "shown"


async def test_an_idempotency_key_may_come_as_a_header(client: httpx.AsyncClient) -> None:
    first = await client.post(PATH, json={}, headers={"idempotency-key": "k"})
    second = await client.post(PATH, json={"options": {"idempotencyKey": "k"}})
    assert second.json() == {"id": first.json()["id"], "isCached": True}


async def test_a_repeated_request_triggers_once(client: httpx.AsyncClient) -> None:
    headers = {"x-trigger-request-idempotency-key": "9c1f"}
    first = await client.post(PATH, json={}, headers=headers)
    second = await client.post(PATH, json={}, headers=headers)
    other = await client.post(PATH, json={}, headers={"x-trigger-request-idempotency-key": "9c20"})
    assert first.json() == second.json()
    assert first.json()["id"] != other.json()["id"]


async def test_the_answer_brings_a_token_that_reads_the_run(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    answer = await client.post(PATH, json={})
    headers = {"authorization": f"Bearer {answer.headers['x-trigger-jwt']}"}
    own = await anonymous.get(f"/api/v3/runs/{answer.json()['id']}", headers=headers)
    other = await anonymous.get(f"/api/v3/runs/{await ask.trigger(client)}", headers=headers)
    assert (own.status_code, other.status_code) == (200, 403)


async def test_older_spellings_of_queue_and_machine_are_taken(client: httpx.AsyncClient) -> None:
    options = {
        "queue": {"name": {"name": "priority-queue", "concurrencyLimit": 10}},
        "machine": {"preset": "large-1x"},
        "tags": "one",
    }
    run = await ask.run(client, await ask.trigger(client, options=options))
    assert run["tags"] == ["one"]


async def test_an_unknown_task_is_404_with_the_nearest_id(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/tasks/proces-data/trigger", json={})
    assert answer.status_code == 404
    assert answer.json() == {"error": "Task 'proces-data' not found. Did you mean 'process-data'?"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tags": [str(n) for n in range(11)]}, "Runs can only have 10 tags, you're trying to set 11."),
        ({"delay": "soon"}, "delay"),
        ({"ttl": "x"}, "ttl"),
        ({"machine": "huge"}, "machine"),
        ({"queue": 5}, "queue"),
        ({"maxAttempts": 0}, "maxAttempts"),
    ],
)
async def test_a_bad_option_is_422_and_named(
    client: httpx.AsyncClient, options: dict[str, Any], said: str
) -> None:
    answer = await client.post(PATH, json={"options": options})
    assert answer.status_code == 422
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "Request body is empty"),
        (b"{", "Invalid JSON"),
        (b'{"payload": NaN}', "Invalid JSON"),
        (b'{"payload": "\\ud800"}', "Invalid JSON"),
        (b'{"payload": "\\ud800", "n": 1234567890123456789012}', "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[1]", "Request body must be a JSON object"),
        (b'{"options": 5}', "options: must be an object"),
        (b'{"options": {"ttl": 1e300}}', "options.ttl: is out of range"),
        (
            b'{"options": {"idempotencyKeyOptions": {"key": {}}}}',
            "options.idempotencyKeyOptions.key: must be",
        ),
        (b'{"payload": 1, "options": {"payloadType": "text/html"}}', "options.payloadType: must be one of"),
        (b'{"payload": 1, "options": {"payloadType": []}}', "options.payloadType: must be one of"),
        (b'{"payload": "{", "options": {"payloadType": "application/json"}}', "payload: is not valid JSON"),
        (b'{"payload": "", "options": {"payloadType": "application/store"}}', "payload: must be a non-empty"),
    ],
)
async def test_what_cannot_be_read_is_400(client: httpx.AsyncClient, content: bytes, error: str) -> None:
    answer = await client.post(PATH, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)


async def test_a_payload_over_3_mb_is_413_and_one_of_3_mb_is_not(client: httpx.AsyncClient) -> None:
    fits = await client.post(
        PATH, json={"payload": "x" * MAX_PAYLOAD_BYTES, "options": {"payloadType": "text/plain"}}
    )
    over = await client.post(PATH, json={"payload": "x" * (MAX_PAYLOAD_BYTES + 1)})
    wide = await client.post(PATH, json={"payload": "é" * (MAX_PAYLOAD_BYTES // 2 + 1)})
    assert [answer.status_code for answer in (fits, over, wide)] == [200, 413, 413]
    assert over.json()["error"].startswith("Request body too large: the payload has 3145729 bytes")


async def test_a_body_far_too_large_is_413(client: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(20):
            yield b"x" * 1_000_000

    answer = await client.post(PATH, content=endless())
    assert answer.status_code == 413


async def test_a_repeat_of_a_request_under_way_gets_its_answer(client: httpx.AsyncClient) -> None:
    headers = {"x-trigger-request-idempotency-key": "9c21"}
    answers = await asyncio.gather(*(client.post(PATH, json={}, headers=headers) for _ in range(3)))
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_refused_request_can_be_repeated(client: httpx.AsyncClient) -> None:
    headers = {"x-trigger-request-idempotency-key": "9c22"}
    refused = await client.post(PATH, json={"options": {"ttl": "x"}}, headers=headers)
    good = await client.post(PATH, json={"options": {"ttl": "1h"}}, headers=headers)
    assert (refused.status_code, good.status_code) == (422, 200)
