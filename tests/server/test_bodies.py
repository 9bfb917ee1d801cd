"""Large payloads and outputs over HTTP: they are downloaded from signed URLs."""

import json
from typing import Any

import httpx
import pytest

from tests.server import ask
from tests.server.test_small_routes import upload
from tests.server.toy_worker import ToyWorker
from triggerdev.engine.engine import Engine
from triggerdev.protocol import INLINE_BYTES, MAX_STORED_BYTES
from triggerdev.server.context import Api

BIG = "x" * INLINE_BYTES


async def download(client: httpx.AsyncClient, url: str) -> tuple[Any, str]:
    async with httpx.AsyncClient(transport=client._transport) as plain:
        answer = await plain.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.json(), answer.headers["content-type"]


async def test_a_run_has_urls_in_place_of_what_is_large(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await ask.trigger(client, "child-task", payload={"data": BIG})
    run = await ask.finished(client, run_id)
    assert "payload" not in run
    assert "output" not in run
    payload, kind = await download(client, run["payloadPresignedUrl"])
    assert (payload, kind) == ({"data": BIG}, "application/json")
    output, _ = await download(client, run["outputPresignedUrl"])
    assert output == {"processed": BIG}
    for part, value in (("payload", payload), ("output", output)):
        asked = (await client.get(f"/api/v1/runs/{run_id}/packets/{part}")).json()
        assert (await download(client, asked["presignedUrl"]))[0] == value
    small = await ask.finished(client, await ask.trigger(client))
    assert "payloadPresignedUrl" not in small
    none = await client.get(f"/api/v1/runs/{small['id']}/packets/output")
    assert (none.status_code, none.json()) == (404, {"error": "The run has no stored output"})
    assert (await client.get(f"/api/v1/runs/{run_id}/packets/other")).status_code == 400


async def test_the_result_names_a_key_that_the_official_client_downloads(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run_id = await ask.trigger(client, "child-task", payload={"data": BIG})
    await ask.finished(client, run_id)
    result = (await client.get(f"/api/v1/runs/{run_id}/result")).json()
    assert result["outputType"] == "application/store"
    asked = (await client.get(f"/api/v1/packets/{result['output'].replace('/', '%2F')}")).json()
    assert (await download(client, asked["presignedUrl"]))[0] == {"processed": BIG}


async def test_an_upload_is_copied_so_that_the_next_changes_no_run(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run_ids = []
    for letter in "ab":
        text = json.dumps({"json": {"data": letter * INLINE_BYTES}})
        assert (await upload(client, "name", text.encode()))[1] == 200
        options = {"payloadType": "application/store"}
        run_ids.append(await ask.trigger(client, "child-task", payload="name", options=options))
    for run_id, letter in zip(run_ids, "ab", strict=True):
        run = await ask.finished(client, run_id)
        payload, kind = await download(client, run["payloadPresignedUrl"])
        assert (payload["json"]["data"][0], kind) == (letter, "application/super+json")
        output, _ = await download(client, run["outputPresignedUrl"])
        assert output == {"processed": letter * INLINE_BYTES}


async def test_items_of_a_batch_can_be_uploads(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    await upload(client, "name", json.dumps({"json": {"data": BIG}}).encode())
    batch = (await client.post("/api/v3/batches", json={"runCount": 2})).json()["id"]
    item = {"task": "child-task", "payload": "name", "options": {"payloadType": "application/store"}}
    lines = "".join(json.dumps({"index": n, **item}) + "\n" for n in range(2))
    assert (await client.post(f"/api/v3/batches/{batch}/items", content=lines)).json()["sealed"]
    for run_id in (await client.get(f"/api/v2/batches/{batch}")).json()["runs"]:
        run = await ask.finished(client, run_id)
        assert (await download(client, run["outputPresignedUrl"]))[0] == {"processed": BIG}


async def test_a_token_with_a_large_output(client: httpx.AsyncClient) -> None:
    token = (await client.post("/api/v1/waitpoints/tokens")).json()["id"]
    place = f"/api/v1/waitpoints/tokens/{token}"
    assert (await client.post(f"{place}/complete", json={"data": BIG})).status_code == 200
    found = (await client.get(place)).json()
    assert found["outputType"] == "application/store"
    asked = (await client.get(f"/api/v1/packets/{found['output'].replace('/', '%2F')}")).json()
    assert (await download(client, asked["presignedUrl"]))[0] == BIG


async def test_what_is_gone_is_404(client: httpx.AsyncClient, worker: ToyWorker, engine: Engine) -> None:
    run = await ask.finished(client, await ask.trigger(client, "child-task", payload={"data": BIG}))
    assert engine.bodies is not None
    objects = engine.bodies.objects
    await objects.delete([found.key async for found in objects.listed("bodies")])
    answer = await client.get(run["outputPresignedUrl"])
    assert (answer.status_code, answer.json()) == (404, {"error": "Packet not found"})


@pytest.mark.parametrize("name", ["bodies/../engine.db", "bodies/..", "bodies/", "bodies/a/b", "bodies/%00"])
async def test_a_name_leads_to_no_other_file(client: httpx.AsyncClient, api: Api, name: str) -> None:
    answer = await client.get(f"/api/v1/packets/{name.replace('/', '%2F')}")
    assert answer.status_code == 404
    assert await api.packets.get(name) is None


async def test_a_stored_payload_over_the_limit_is_refused_with_both_sizes(client: httpx.AsyncClient) -> None:
    asked = (await client.put("/api/v2/packets/big")).json()["presignedUrl"]
    answer = await client.put(asked, content=b"x" * (MAX_STORED_BYTES + 1))
    assert answer.status_code == 413
    assert "10485761 bytes" in answer.json()["error"]
    assert "10485760" in answer.json()["error"]
