"""Queues over HTTP: load and limits, pausing, overriding, names in paths, who may do it."""

from typing import Any

import httpx
import pytest

from tests.server import ask
from tests.server.conftest import BASE
from tests.server.toy_worker import ToyWorker
from triggerdev.server.context import Api

QUEUES = "/api/v1/queues"


async def post(client: httpx.AsyncClient, queue: str, route: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"{QUEUES}/{queue}/{route}", json={"type": "custom", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_queues_are_listed_with_what_all_have_together(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    held = [await ask.trigger(client, "held", options={"queue": {"name": "q1"}}) for _ in range(7)]
    await worker.executing(held[4])
    page = (await client.get(QUEUES, params={"page": 1, "perPage": 2})).json()
    assert page["pagination"] == {"currentPage": 1, "totalPages": 3, "count": 6}
    assert page["environment"] == {"running": 5, "queued": 2, "concurrencyLimit": None}
    first, second = page["data"]
    limits = {"current": 5, "base": 5, "override": None, "overriddenAt": None, "overriddenBy": None}
    assert first == {
        "id": first["id"],
        "name": "q1",
        "type": "custom",
        "running": 5,
        "queued": 2,
        "paused": False,
        "concurrencyLimit": 5,
        "concurrency": limits,
    }
    assert (second["name"], second["type"], second["concurrencyLimit"]) == ("a/bc", "task", None)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a%2Fb%20c", "task"),
        ("a/b%20c", "task"),
        ("a%252Fb%2520c", "task"),
        ("task%2Fa%2Fb%20c", "custom"),
        ("task/a/bc", "custom"),
        ("ID", "id"),
        ("ID", "custom"),
    ],
)
async def test_a_queue_is_found_however_its_name_is_written(
    client: httpx.AsyncClient, path: str, kind: str
) -> None:
    known = (await client.get(f"{QUEUES}/a%252Fbc?type=task")).json()
    found = await client.get(f"{QUEUES}/{path.replace('ID', known['id'])}", params={"type": kind})
    assert found.json() == known


@pytest.mark.parametrize(
    ("queue", "kind"), [("nope", "custom"), ("q1", "task"), ("q1", "id"), ("queue_1", "id")]
)
async def test_an_unknown_queue_is_404(client: httpx.AsyncClient, queue: str, kind: str) -> None:
    answers = [
        await client.get(f"{QUEUES}/{queue}", params={"type": kind}),
        await client.post(f"{QUEUES}/{queue}/pause", json={"type": kind, "action": "pause"}),
        await client.post(f"{QUEUES}/{queue}/concurrency/reset", json={"type": kind}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()) == (404, {"error": "Queue not found"})


async def test_pausing_and_overriding(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    assert (await post(client, "q1", "pause", action="pause"))["paused"]
    run = await ask.trigger(client, "held", options={"queue": {"name": "q1"}})
    assert (await client.get(f"{QUEUES}/q1?type=custom")).json()["queued"] == 1
    assert not (await post(client, "q1", "pause", action="resume"))["paused"]
    await worker.executing(run)
    changed = (await post(client, "q1", "concurrency/override", concurrencyLimit=3))["concurrency"]
    assert (changed["current"], changed["base"], changed["override"]) == (3, 5, 3)
    assert changed["overriddenAt"].endswith("Z")
    again = (await post(client, "q1", "concurrency/reset"))["concurrency"]
    assert (again["current"], again["override"], again["overriddenAt"]) == (5, None, None)


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("pause", {"type": "custom"}, "action"),
        ("pause", {"type": "custom", "action": "stop"}, "action"),
        ("pause", {"type": "queue", "action": "pause"}, "type"),
        ("concurrency/override", {"type": "custom", "concurrencyLimit": -1}, "concurrencyLimit"),
        ("concurrency/override", {"type": "custom", "concurrencyLimit": 100_001}, "concurrencyLimit"),
        ("concurrency/override", {"type": "custom", "concurrencyLimit": "3"}, "concurrencyLimit"),
        ("concurrency/override", {"type": "custom", "concurrencyLimit": True}, "concurrencyLimit"),
        ("concurrency/override", {"type": "custom"}, "concurrencyLimit"),
    ],
)
async def test_a_bad_body_is_400_and_names_the_field(
    client: httpx.AsyncClient, route: str, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(f"{QUEUES}/q1/{route}", json=body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("read:queues", "GET", "", 200),
        ("read:queues:q1", "GET", "", 403),
        ("read:queues:q1", "GET", "/q1?type=custom", 200),
        ("read:queues:other", "GET", "/q1?type=custom", 403),
        ("read:queues", "POST", "/q1/pause", 403),
        ("write:queues:q1", "POST", "/q1/pause", 200),
        ("write:queues:q", "POST", "/q1/pause", 403),
        ("read:runs", "GET", "", 403),
    ],
)
async def test_public_tokens_need_a_scope_for_queues(
    app: Any, api: Api, scope: str, method: str, path: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {api.signer.sign((scope,))}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        body = {"type": "custom", "action": "pause"} if method == "POST" else None
        answer = await client.request(method, QUEUES + path, headers=headers, json=body)
    assert answer.status_code == status
