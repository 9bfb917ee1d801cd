"""Environment variables over HTTP: of the key's project and environment; secret values are not shown."""

import httpx
import pytest

BASE = "/api/v1/projects/proj_dev/envvars/dev"


async def put(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post(BASE, json=body)


async def test_variables_are_set_listed_changed_and_deleted(client: httpx.AsyncClient) -> None:
    assert (await put(client, name="A", value="1")).json() == {"success": True}
    await put(client, name="S", value="hush", isSecret=True)
    listed = (await client.get(BASE)).json()
    assert listed == [
        {"name": "A", "value": "1", "isSecret": False},
        {"name": "S", "value": "<redacted>", "isSecret": True},
    ]
    assert (await client.get(f"{BASE}/S")).json() == listed[1]
    assert (await client.put(f"{BASE}/S", json={"value": "2"})).json() == {"success": True}
    assert (await client.get(f"{BASE}/S")).json() == listed[1]
    assert (await client.delete(f"{BASE}/A")).json() == {"success": True}
    gone = await client.get(f"{BASE}/A")
    assert (gone.status_code, gone.json()) == (404, {"error": "Environment variable 'A' not found."})
    workers = (await client.get("/api/v1/projects/proj_dev/envvars")).json()
    assert workers == {"variables": {"S": "2"}}


async def test_an_import_keeps_what_exists_unless_it_overrides(client: httpx.AsyncClient) -> None:
    await put(client, name="A", value="1")
    body: dict[str, object] = {"variables": {"A": "2", "B": "2"}, "source": {"type": "cli"}}
    assert (await client.post(f"{BASE}/import", json=body)).json() == {"success": True}
    assert [item["value"] for item in (await client.get(BASE)).json()] == ["1", "2"]
    await client.post(f"{BASE}/import", json={**body, "override": True, "isSecret": True})
    assert [item["value"] for item in (await client.get(BASE)).json()] == ["<redacted>"] * 2


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/api/v1/projects/proj_other/envvars/dev", "Project not found"),
        ("/api/v1/projects/proj_dev/envvars/prod", "Environment not found"),
        ("/api/v1/projects/proj_other/envvars", "Project not found"),
    ],
)
async def test_there_is_one_project_and_one_environment(
    client: httpx.AsyncClient, path: str, error: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": error})


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"name": "A-B", "value": "hush"}, 422, "name: 'A-B' is no variable's name"),
        ({"name": "TRIGGER_API_URL", "value": "hush"}, 422, "TRIGGER_API_URL is set by the server"),
        ({"name": "A", "value": 5}, 400, "value: "),
        ({"name": "A"}, 400, "value: "),
        ({"value": "hush"}, 400, "name: "),
    ],
)
async def test_what_cannot_be_a_variable_is_refused_without_its_value(
    client: httpx.AsyncClient, body: dict[str, object], status: int, text: str
) -> None:
    answer = await put(client, **body)
    assert (answer.status_code, text in answer.json()["error"]) == (status, True)
    assert "hush" not in answer.text


async def test_without_the_key_nothing_is_told(anonymous: httpx.AsyncClient) -> None:
    for path in (BASE, "/api/v1/projects/proj_dev/envvars"):
        assert (await anonymous.get(path)).status_code == 401
