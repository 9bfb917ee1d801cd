"""Schedules, tasks, health, claims, large payloads, the OpenAPI page."""

import json

import httpx
import pytest

from tests.server import ask
from tests.server.conftest import BASE
from tests.server.toy_worker import CRON_TASK, ToyWorker
from triggerdev.server.context import Api
from triggerdev.server.packets import MAX_PACKET_BYTES


async def test_schedules_are_listed_and_retrieved(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/schedules", params={"page": 1, "perPage": 10})).json()
    assert page["pagination"] == {"currentPage": 1, "totalPages": 1, "count": 1}
    (schedule,) = page["data"]
    assert (schedule["task"], schedule["type"], schedule["active"]) == (CRON_TASK, "DECLARATIVE", True)
    assert schedule["generator"]["expression"] == "0 9 * * *"
    assert schedule["timezone"] == "America/New_York"
    assert schedule["nextRun"].endswith("Z")
    assert schedule["environments"] == [{"id": "env_dev", "type": "DEVELOPMENT"}]
    assert (await client.get(f"/api/v1/schedules/{schedule['id']}")).json() == schedule
    assert (await client.get("/api/v1/schedules?page=2&perPage=10")).json()["data"] == []
    assert (await client.get("/api/v1/schedules?page=0")).status_code == 400
    unknown = await client.get("/api/v1/schedules/sched_none")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Schedule not found"})


async def test_schedules_are_made_changed_and_deleted(client: httpx.AsyncClient) -> None:
    body = {"task": CRON_TASK, "cron": "0 8 * * *", "deduplicationKey": "ada", "externalId": "user_1"}
    made = (await client.post("/api/v1/schedules", json=body)).json()
    assert made["id"].startswith("sched_")
    assert made["generator"] == {
        "type": "CRON",
        "expression": "0 8 * * *",
        "description": "At 08:00 every day",
    }
    assert (made["type"], made["active"], made["timezone"]) == ("IMPERATIVE", True, "UTC")
    assert (made["deduplicationKey"], made["externalId"]) == ("ada", "user_1")
    again = (await client.post("/api/v1/schedules", json={**body, "timezone": "Europe/Berlin"})).json()
    assert (again["id"], again["timezone"]) == (made["id"], "Europe/Berlin")
    place = f"/api/v1/schedules/{made['id']}"
    changed = (await client.put(place, json={"task": CRON_TASK, "cron": "0 7 * * *"})).json()
    assert (changed["generator"]["expression"], changed["externalId"]) == ("0 7 * * *", None)
    assert (changed["timezone"], changed["deduplicationKey"]) == ("UTC", "ada")
    rests = (await client.post(f"{place}/deactivate")).json()
    assert (rests["active"], rests["nextRun"]) == (False, changed["nextRun"])
    assert (await client.post(f"{place}/activate")).json() == changed
    assert (await client.delete(place)).json() == {"id": made["id"]}
    for method in ("DELETE", "GET"):
        answer = await client.request(method, place)
        assert (answer.status_code, answer.json()) == (404, {"error": "Schedule not found"})


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"cron": "99 * * * *"}, 422, "Invalid cron expression: '99 * * * *'"),
        ({"timezone": "Europe/Atlantis"}, 422, "Invalid IANA timezone: 'Europe/Atlantis'"),
        ({"task": "nope"}, 422, "Task with identifier nope not found in project."),
        ({"task": "held"}, 422, "Task with identifier held is not a scheduled task."),
        ({"window": "30m"}, 422, "window: "),
        ({"cron": 5}, 400, "cron: "),
        ({"task": None}, 400, "task: "),
        ({"externalId": ""}, 422, "externalId: "),
    ],
)
async def test_what_cannot_be_scheduled_is_refused(
    client: httpx.AsyncClient, changes: dict[str, object], status: int, text: str
) -> None:
    body = {"task": CRON_TASK, "cron": "0 8 * * *", "deduplicationKey": "ada", **changes}
    answer = await client.post("/api/v1/schedules", json=body)
    assert (answer.status_code, answer.json()["error"][: len(text)]) == (status, text)
    assert (await client.get("/api/v1/schedules")).json()["pagination"]["count"] == 1


async def test_a_declarative_schedule_is_changed_in_code_only(client: httpx.AsyncClient) -> None:
    (schedule,) = (await client.get("/api/v1/schedules")).json()["data"]
    place = f"/api/v1/schedules/{schedule['id']}"
    for answer in (
        await client.delete(place),
        await client.put(place, json={"task": CRON_TASK, "cron": "0 7 * * *"}),
    ):
        assert answer.status_code == 422
        assert "is declarative" in answer.json()["error"]
    assert (await client.get(place)).json() == schedule


async def test_timezones_need_no_key(anonymous: httpx.AsyncClient) -> None:
    names = (await anonymous.get("/api/v1/timezones")).json()["timezones"]
    assert names[0] == "UTC"
    assert "Europe/Berlin" in names
    assert "UTC" not in (await anonymous.get("/api/v1/timezones?excludeUtc=true")).json()["timezones"]


async def test_tasks_are_those_of_the_current_version(client: httpx.AsyncClient) -> None:
    tasks = {task["id"]: task for task in (await client.get("/api/v1/tasks")).json()["tasks"]}
    assert tasks["process-data"] == {
        "id": "process-data",
        "filePath": "trigger/basic.py",
        "line": 21,
        "kind": "async",
        "triggerSource": "standard",
        "queue": {"name": "task/process-data"},
        "retry": {"maxAttempts": 1},
    }
    assert tasks[CRON_TASK]["schedule"]["cron"] == "0 9 * * *"


async def test_health_needs_no_key(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/healthz")).json()["status"] == "ok"


async def test_claims_name_the_environment(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/auth/jwt/claims")).json() == {"sub": "env_dev", "pub": True}


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/api/v1/nothing", 404, "Not Found"),
        ("GET", "/api/v1/runs/", 404, "Not Found"),
        ("GET", "/docs/assets/../../app.py", 404, "Not Found"),
        ("PATCH", "/api/v1/schedules/sched_1", 405, "Method not allowed"),
        ("GET", "/api/v1/tasks/x/trigger", 405, "Method not allowed"),
    ],
)
async def test_everything_else_is_404_or_405(
    client: httpx.AsyncClient, method: str, path: str, status: int, error: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


async def upload(client: httpx.AsyncClient, name: str, content: bytes) -> tuple[str, int]:
    """Upload as the official client does: ask for a URL, then PUT without a key."""
    asked = (await client.put(f"/api/v2/packets/{name.replace('/', '%2F')}")).json()
    assert asked["storagePath"] == name
    headers = {"content-type": "application/super+json"}
    async with httpx.AsyncClient(transport=client._transport) as plain:
        answer = await plain.put(asked["presignedUrl"], content=content, headers=headers)
    return asked["presignedUrl"], answer.status_code


async def test_a_large_payload_is_uploaded_and_triggered_with(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    name = "trigger/packet_k855/payload.json"
    content = json.dumps({"json": {"data": ["x" * 200_000]}}).encode()
    url, status = await upload(client, name, content)
    assert (url.startswith(BASE), status) == (True, 200)
    run_id = await ask.trigger(client, payload=name, options={"payloadType": "application/store"})
    run = await ask.finished(client, run_id)
    assert run["output"] == {"processed": 1}
    assert len(run["payload"]["data"][0]) == 200_000
    asked = (await client.get(f"/api/v1/packets/{name}")).json()["presignedUrl"]
    down = await client.get(asked, headers={"authorization": ""})
    assert (down.content, down.headers["content-type"]) == (content, "application/super+json")


async def test_packets_are_refused_without_a_valid_signature(client: httpx.AsyncClient, api: Api) -> None:
    url, _ = await upload(client, "a", b"1")
    assert (await client.get(url)).status_code == 403, "the URL is for PUT"
    assert (await client.put(url.replace("/a?", "/b?"), content=b"1")).status_code == 403
    assert (await client.put(url + "0", content=b"1")).status_code == 403
    assert (await client.put("/packets/a", content=b"1")).status_code == 403
    late = f"/packets/a?expires=1&signature={api.seal(chr(10).join(('packet', 'PUT', 'a', '1')))}"
    expired = await client.put(late, content=b"1")
    assert "expired" in expired.json()["error"]


async def test_a_stored_payload_can_have_10_mb(client: httpx.AsyncClient) -> None:
    _, status = await upload(client, "big", json.dumps("x" * (MAX_PACKET_BYTES - 2)).encode())
    assert status == 200
    body = {"payload": "big", "options": {"payloadType": "application/store"}}
    assert (await client.post("/api/v1/tasks/held/trigger", json=body)).status_code == 200
    assert (await upload(client, "huge", b"x" * (MAX_PACKET_BYTES + 1)))[1] == 413


async def test_an_unknown_packet_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/packets/none")).status_code == 404
    body = {"payload": "none", "options": {"payloadType": "application/store"}}
    answer = await client.post("/api/v1/tasks/held/trigger", json=body)
    assert (answer.status_code, "upload it first" in answer.json()["error"]) == (400, True)


async def test_the_openapi_page_works_offline(anonymous: httpx.AsyncClient) -> None:
    page = await anonymous.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text, "no asset comes from elsewhere"
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "start.js"):
        assert (await anonymous.get(f"/docs/assets/{asset}")).status_code == 200
    assert (await anonymous.get("/docs/assets/nothing.js")).status_code == 404


async def test_the_openapi_document_describes_bodies_answers_and_guards(anonymous: httpx.AsyncClient) -> None:
    document = (await anonymous.get("/openapi.json")).json()
    trigger = document["paths"]["/api/v1/tasks/{task_id}/trigger"]["post"]
    assert trigger["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TriggerBody"
    }
    assert trigger["security"] == [{"Bearer": []}]
    assert {"200", "401", "403", "404", "413", "422"} <= set(trigger["responses"])
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
