"""Batches in two phases and in the older forms."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.server import ask
from tests.server.toy_worker import ToyWorker


def line(index: int, task: str = "process-data", **more: Any) -> bytes:
    item = {"index": index, "task": task, "payload": f'{{"json":{{"data":[{index}]}}}}', **more}
    item.setdefault("options", {"payloadType": "application/super+json"})
    return json.dumps(item).encode() + b"\n"


async def create(client: httpx.AsyncClient, count: int, **more: Any) -> str:
    answer = await client.post("/api/v3/batches", json={"runCount": count, **more})
    assert answer.status_code == 202, answer.text
    batch_id: str = answer.json()["id"]
    return batch_id


async def add(client: httpx.AsyncClient, batch_id: str, content: Any) -> httpx.Response:
    return await client.post(f"/api/v3/batches/{batch_id}/items", content=content)


async def complete(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    """The batch, once all its runs are final."""
    batch = (await client.get(f"/api/v2/batches/{batch_id}")).json()
    for run_id in batch["runs"]:
        await ask.finished(client, run_id)
    found: dict[str, Any] = (await client.get(f"/api/v2/batches/{batch_id}")).json()
    return found


async def test_a_batch_is_created_filled_and_completed(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    answer = await client.post("/api/v3/batches", json={"runCount": 2, "taskIdentifiers": ["process-data"]})
    batch_id = answer.json()["id"]
    assert answer.json() == {"id": batch_id, "runCount": 2, "isCached": False}
    filled = await add(client, batch_id, line(0) + line(1))
    assert filled.json() == {"id": batch_id, "itemsAccepted": 2, "itemsDeduplicated": 0, "sealed": True}
    batch = await complete(client, batch_id)
    assert (batch["status"], batch["runCount"], len(batch["runs"])) == ("COMPLETED", 2, 2)
    assert batch["processing"]["errors"] == []
    results = (await client.get(f"/api/v1/batches/{batch_id}/results")).json()
    assert [item["id"] for item in results["items"]] == batch["runs"]
    listed = (await client.get("/api/v1/runs", params={"filter[batch]": batch_id})).json()["data"]
    assert {run["id"] for run in listed} == set(batch["runs"])


async def test_lines_may_be_cut_anywhere(client: httpx.AsyncClient) -> None:
    content = line(0) + b"\n" + line(1) + line(2).rstrip()

    async def byte_by_byte() -> AsyncIterator[bytes]:
        for position in range(len(content)):
            yield content[position : position + 1]

    filled = await add(client, await create(client, 3), byte_by_byte())
    assert (filled.json()["itemsAccepted"], filled.json()["sealed"]) == (3, True)


async def test_a_stream_can_be_repeated(client: httpx.AsyncClient) -> None:
    batch_id = await create(client, 3)
    first = (await add(client, batch_id, line(0) + line(1))).json()
    assert (first["sealed"], first["enqueuedCount"], first["expectedCount"]) == (False, 2, 3)
    second = (await add(client, batch_id, line(0) + line(1) + line(2))).json()
    assert (second["itemsAccepted"], second["itemsDeduplicated"], second["sealed"]) == (1, 2, True)
    third = (await add(client, batch_id, line(0) + line(1) + line(2))).json()
    assert (third["itemsAccepted"], third["sealed"]) == (0, True)


async def test_an_empty_stream_tells_how_far_the_batch_is(client: httpx.AsyncClient) -> None:
    filled = (await add(client, await create(client, 2), b"\n")).json()
    assert (filled["sealed"], filled["enqueuedCount"], filled["expectedCount"]) == (False, 0, 2)


async def test_a_batch_has_an_idempotency_key(client: httpx.AsyncClient) -> None:
    body = {"runCount": 1, "idempotencyKey": "k"}
    first = (await client.post("/api/v3/batches", json=body)).json()
    second = (await client.post("/api/v3/batches", json=body)).json()
    assert second == {**first, "isCached": True}
    assert first["idempotencyKey"] == "k"


async def test_an_item_that_cannot_be_triggered_is_noted(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    batch_id = await create(client, 2)
    assert (await add(client, batch_id, line(0, "nobody") + line(1))).json()["sealed"]
    batch = await complete(client, batch_id)
    (error,) = batch["processing"]["errors"]
    assert (error["index"], error["taskIdentifier"]) == (0, "nobody")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{\n", "Invalid JSON in line 1"),
        (line(0) + b"[]\n", "line 2: must be an object"),
        (b'{"task": "process-data"}\n', "line 1: index: must be"),
        (b'{"index": true, "task": "process-data"}\n', "line 1: index: must be"),
        (b'{"index": 5000, "task": "process-data"}\n', "line 1: index: must be"),
        (b'{"index": 0}\n', "line 1: task: must be"),
        (line(0, options={"payloadType": "x"}), "item 1: options.payloadType"),
    ],
)
async def test_a_bad_line_is_400_and_numbered(client: httpx.AsyncClient, content: bytes, error: str) -> None:
    answer = await add(client, await create(client, 2), content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)


async def test_an_item_over_3_mb_is_413(client: httpx.AsyncClient) -> None:
    answer = await add(client, await create(client, 1), line(0, payload='"' + "x" * 3_145_728 + '"'))
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("item 1: Request body too large")


async def test_a_line_without_end_is_413(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000_000

    assert (await add(client, await create(client, 1), endless())).status_code == 413


@pytest.mark.parametrize("count", [0, -1, 1001, "x", None])
async def test_a_bad_count_is_400(client: httpx.AsyncClient, count: Any) -> None:
    answer = await client.post("/api/v3/batches", json={"runCount": count})
    assert answer.status_code == 400
    assert "runCount" in answer.json()["error"]


async def test_an_unknown_batch_is_404(client: httpx.AsyncClient) -> None:
    answers = [
        await add(client, "batch_none", line(0)),
        await client.get("/api/v2/batches/batch_none"),
        await client.get("/api/v1/batches/batch_none/results"),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (404, {"error": "Batch not found"})
    ] * 3


async def test_results_are_404_while_runs_are_not_final(client: httpx.AsyncClient) -> None:
    batch_id = await create(client, 1)
    await add(client, batch_id, line(0, "held"))
    answer = await client.get(f"/api/v1/batches/{batch_id}/results")
    assert (answer.status_code, answer.json()["error"]) == (404, "Batch not completed yet")


async def test_the_older_forms_trigger_in_one_request(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    items = [
        {"task": "process-data", "payload": {"data": [1]}},
        {"task": "child-task", "payload": {"data": 1}},
    ]
    second = await client.post("/api/v2/tasks/batch", json={"items": items})
    assert (second.status_code, second.json()["runCount"]) == (202, 2)
    assert (await complete(client, second.json()["id"]))["status"] == "COMPLETED"
    first = await client.post("/api/v1/tasks/process-data/batch", json={"items": [{"payload": {"data": []}}]})
    (run_id,) = first.json()["runs"]
    assert (await ask.finished(client, run_id))["output"] == {"processed": 0}


@pytest.mark.parametrize("items", [None, [], [5], [{"payload": 1}], "x"])
async def test_bad_items_of_the_older_form_are_400(client: httpx.AsyncClient, items: Any) -> None:
    assert (await client.post("/api/v2/tasks/batch", json={"items": items})).status_code == 400
