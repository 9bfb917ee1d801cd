"""Who may do what: a matrix over every route of the application, made from the routes themselves."""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from fastapi.routing import APIRoute

from tests.server import ask
from tests.server.conftest import KEY
from triggerdev import _traces
from triggerdev.server.access import Allow
from triggerdev.server.app import ROUTERS

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/api/v1/timezones"),
    ("POST", "/api/v1/waitpoints/tokens/{token_id}/callback/{seal}"),
    ("PUT", "/packets/{name:path}"),
    ("GET", "/packets/{name:path}"),
}
# Routes about all resources of a kind: a scope for a single one is not enough.
WHOLE_KIND = {
    ("POST", "/api/v1/waitpoints/tokens"),
    ("GET", "/api/v1/waitpoints/tokens"),
    ("GET", "/api/v1/queues"),
}
# Several runs, which a scope for one run does not cover.
LISTS = {("GET", "/api/v1/runs"), ("GET", "/realtime/v1/runs")}
# Shows what the scopes cover, or refuses single items, instead of refusing as a whole.
FILTERED = {("GET", "/api/v1/tasks"), ("POST", "/api/v1/triggers")}
VARIABLE = {"project_ref": "proj_dev", "slug": "dev"}
ITEM = json.dumps({"index": 0, "task": "held"}).encode()
BODIES: dict[str, Any] = {
    "/api/v1/triggers": {"items": [{"task": "held"}]},
    "/api/v3/batches": {"runCount": 1, "taskIdentifiers": ["held"]},
    "/api/v2/tasks/batch": {"items": [{"task": "held"}]},
    "/api/v1/tasks/{task_id:path}/batch": {"items": [{}]},
    "/api/v1/runs/{run_id}/reschedule": {"delay": "1h"},
    "/api/v1/runs/{run_id}/tags": {"tags": "a"},
    "/api/v1/projects/{project_ref}/envvars/{slug}": {"name": "packet", "value": "1"},
    "/api/v1/projects/{project_ref}/envvars/{slug}/import": {"variables": {"packet": "1"}},
    "/api/v1/projects/{project_ref}/envvars/{slug}/{name}": {"value": "1"},
    "/api/v1/idempotencyKeys/{key:path}/reset": {"taskIdentifier": "held"},
    "/api/v1/queues/{queue:path}/pause": {"action": "pause"},
    "/api/v1/queues/{queue:path}/concurrency/override": {"concurrencyLimit": 2},
}
LIST_FILTERS = "?filter[taskIdentifier]=held&filter[tag]=t&filter[batch]={batch_id}"


def guard_of(route: APIRoute) -> Allow | None:
    calls = [dependency.call for dependency in route.dependant.dependencies]
    return next((call for call in calls if isinstance(call, Allow)), None)


def method(route: APIRoute) -> str:
    return next(iter(route.methods or ()))


ROUTES = [route for module in ROUTERS for route in module.router.routes if isinstance(route, APIRoute)]
GUARDED = [(route, guard) for route in ROUTES if (guard := guard_of(route)) is not None]
NAMES = [f"{method(route)} {route.path}" for route, _ in GUARDED]
each_guarded_route = pytest.mark.parametrize(("route", "guard"), GUARDED, ids=NAMES)


def signed(*scopes: str, key: str = KEY, **claims: Any) -> str:
    """A public access token as the official client signs it."""
    now = int(time.time())
    made = {
        "sub": "env_dev",
        "pub": True,
        "scopes": list(scopes),
        "iss": "https://id.trigger.dev",
        "aud": "https://api.trigger.dev",
        "iat": now,
        "exp": now + 900,
        **claims,
    }
    return jwt.encode(
        {name: value for name, value in made.items() if value is not None}, key, algorithm="HS256"
    )


@dataclass
class World:
    """One thing of each kind, and requests about them."""

    anonymous: httpx.AsyncClient
    ids: dict[str, str]

    async def ask(self, route: APIRoute, bearer: str | None) -> httpx.Response:
        path = route.path.replace(":path}", "}")
        if path == "/api/v1/runs":
            path += LIST_FILTERS
        if path == "/realtime/v1/runs":
            path += "?tags=t"
        headers = {} if bearer is None else {b"authorization": bearer.encode("latin-1")}
        body = BODIES.get(route.path, {}) if method(route) in ("POST", "PUT") else None
        content = ITEM if route.path.endswith("/items") else None if body is None else json.dumps(body)
        return await self.anonymous.request(
            method(route), path.format(**self.ids), headers=headers, content=content
        )

    async def allows(self, route: APIRoute, *scopes: str) -> bool:
        answer = await self.ask(route, f"Bearer {signed(*scopes)}")
        assert answer.status_code < 500
        if answer.status_code == 403:
            assert answer.json()["code"] == "unauthorized"
        assert answer.status_code != 401
        return answer.status_code != 403


@pytest.fixture
async def world(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> World:
    batch_id = (await client.post("/api/v3/batches", json={"runCount": 1})).json()["id"]
    item = {"index": 0, "task": "held", "options": {"tags": ["t"]}}
    await client.post(f"/api/v3/batches/{batch_id}/items", content=json.dumps(item))
    run_id = (await client.get(f"/api/v2/batches/{batch_id}")).json()["runs"][0]
    token_id = (await client.post("/api/v1/waitpoints/tokens")).json()["id"]
    schedule_id = (await client.get("/api/v1/schedules")).json()["data"][0]["id"]
    ids = {"batch_id": batch_id, "run_id": run_id, "token_id": token_id, "schedule_id": schedule_id}
    ids["span_id"] = _traces.run_span(run_id)
    ids["queue"] = (await client.get("/api/v1/queues/held?type=task")).json()["id"]
    names = {"task_id": "held", "name": "packet", "key": "k", "part": "output", **VARIABLE}
    names["queue_name"] = "task/held"
    return World(anonymous, {**ids, **names})


def id_of(kind: str, world: World) -> str:
    names = {
        "runs": "run_id",
        "batch": "batch_id",
        "waitpoints": "token_id",
        "tasks": "task_id",
        "queues": "queue_name",
    }
    return world.ids[names[kind]] if kind in names else "t"


def test_every_route_is_guarded_or_known_to_be_open() -> None:
    unguarded = {(method(route), route.path) for route in ROUTES if guard_of(route) is None}
    assert unguarded == OPEN
    assert len(GUARDED) > 25


@each_guarded_route
async def test_without_a_valid_key_it_is_401(route: APIRoute, guard: Allow, world: World) -> None:
    bearers = (None, "", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer a.b.c", "Bearer é")
    for bearer in bearers:
        answer = await world.ask(route, bearer)
        assert answer.status_code == 401, bearer
        assert "error" in answer.json()
    assert (await world.ask(route, None)).json() == {"error": "Invalid or Missing API key"}


@each_guarded_route
async def test_the_secret_key_opens_it(route: APIRoute, guard: Allow, world: World) -> None:
    assert (await world.ask(route, f"Bearer {KEY}")).status_code not in (401, 403, 500)


@each_guarded_route
async def test_a_token_opens_it_by_its_scopes_alone(route: APIRoute, guard: Allow, world: World) -> None:
    if not guard.grants:
        assert not await world.allows(route, "admin", "read:all", "write:all")
        return
    assert not await world.allows(route)
    assert not await world.allows(route, "read:deployments", "x", "", ":::")
    assert await world.allows(route, "admin")
    other_actions = {"read", "write", "trigger", "batchTrigger"} - {action for action, _ in guard.grants}
    for action, kind in guard.grants:
        for other in other_actions:
            assert not await world.allows(route, f"{other}:{kind}", f"{other}:all")
        assert await world.allows(route, f"{action}:{kind}")
        assert await world.allows(route, f"{action}:all")


@each_guarded_route
async def test_a_token_for_one_thing_opens_that_alone(route: APIRoute, guard: Allow, world: World) -> None:
    name = (method(route), route.path)
    for action, kind in guard.grants:
        own, other = f"{action}:{kind}:{id_of(kind, world)}", f"{action}:{kind}:other"
        opens = name not in WHOLE_KIND and not (name in LISTS and kind == "runs")
        assert await world.allows(route, own) is opens
        assert await world.allows(route, other) is (name in FILTERED)


@pytest.mark.parametrize(
    ("token", "error"),
    [
        (signed("admin", exp=int(time.time()) - 1), "Public Access Token has expired"),
        (signed("admin", key=KEY[:-1] + "x"), "Public Access Token is invalid."),
        (signed("admin", aud="https://elsewhere"), "Public Access Token is invalid."),
        (signed("admin", iss="https://elsewhere"), "Public Access Token is invalid."),
        (signed("admin", exp=None), "Public Access Token is invalid."),
        (signed("admin", exp="x"), "Public Access Token is invalid."),
        (signed("admin", pub=False), "Invalid or Missing API key"),
        (signed("admin", pub="true"), "Invalid or Missing API key"),
        (signed("admin", sub=None), "Invalid Public Access Token, missing subject."),
        (signed("admin", sub="env_other"), "Invalid Public Access Token, environment not found."),
        (signed("x" * 10_000), "Public Access Token is too long."),
        (
            jwt.encode({"sub": "env_dev", "pub": True}, "", algorithm="none"),
            "Public Access Token is invalid.",
        ),
        ("..", "Public Access Token is invalid."),
    ],
)
async def test_a_token_that_is_not_valid_is_401(anonymous: httpx.AsyncClient, token: str, error: str) -> None:
    answer = await anonymous.get("/api/v1/runs", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.json()["error"].startswith(error)


@pytest.mark.parametrize("scopes", [None, "admin", {"admin": 1}, [5, None, ["admin"]]])
async def test_scopes_of_another_form_grant_nothing(anonymous: httpx.AsyncClient, scopes: Any) -> None:
    headers = {"authorization": f"Bearer {signed(scopes=scopes)}"}
    assert (await anonymous.get("/api/v1/runs", headers=headers)).status_code == 403


async def test_a_list_is_only_open_when_every_filtered_value_is(world: World) -> None:
    async def status(query: str, *scopes: str) -> int:
        headers = {"authorization": f"Bearer {signed(*scopes)}"}
        return (await world.anonymous.get(f"/api/v1/runs?{query}", headers=headers)).status_code

    assert await status("filter[tag]=a,b", "read:tags:a", "read:tags:b") == 200
    assert await status("filter[tag]=a,b", "read:tags:a") == 403
    assert await status("filter[taskIdentifier]=x", "read:tasks:x") == 200
    assert await status("", "read:tasks:x") == 403


async def test_a_one_time_token_triggers_once(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    headers = {"authorization": f"Bearer {signed('trigger:tasks:held', otu=True)}"}
    path = "/api/v1/tasks/held/trigger"
    refused = await anonymous.post(path, json={"options": {"delay": "soon"}}, headers=headers)
    first = await anonymous.post(path, json={}, headers=headers)
    second = await anonymous.post(path, json={}, headers=headers)
    assert (refused.status_code, first.status_code, second.status_code) == (422, 200, 422)
    assert second.json()["error"] == (
        "Cannot trigger held with a one-time use token as it has already been used."
    )
    assert (await ask.run(client, first.json()["id"]))["taskIdentifier"] == "held"


async def test_a_one_time_token_fills_only_its_own_batch(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    headers = {"authorization": f"Bearer {signed('batchTrigger:tasks:held', otu=True)}"}
    other = (await client.post("/api/v3/batches", json={"runCount": 1})).json()["id"]
    create = {"runCount": 1, "taskIdentifiers": ["held"]}
    own = (await anonymous.post("/api/v3/batches", json=create, headers=headers)).json()["id"]
    assert (await anonymous.post("/api/v3/batches", json=create, headers=headers)).status_code == 422
    strange = await anonymous.post(f"/api/v3/batches/{other}/items", content=ITEM, headers=headers)
    filled = await anonymous.post(f"/api/v3/batches/{own}/items", content=ITEM, headers=headers)
    assert (strange.status_code, filled.status_code) == (403, 200)


async def test_a_browser_cannot_trigger_with_a_stored_payload(anonymous: httpx.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {signed('trigger:tasks:held')}"}
    body = {"payload": "someone's", "options": {"payloadType": "application/store"}}
    answer = await anonymous.post("/api/v1/tasks/held/trigger", json=body, headers=headers)
    assert answer.status_code == 403
