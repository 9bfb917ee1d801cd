"""Waitpoint tokens over HTTP."""

from typing import Any

import httpx
import pytest

from triggerdev.engine.engine import Engine

PATH = "/api/v1/waitpoints/tokens"


async def make(client: httpx.AsyncClient, **body: object) -> dict[str, Any]:
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_token_is_created_and_completed(client: httpx.AsyncClient, engine: Engine) -> None:
    made = await make(client, timeout="10m", tags=["a"], idempotencyKey="i", idempotencyKeyTTL="1h")
    assert made["id"].startswith("waitpoint_")
    waiting = (await client.get(f"{PATH}/{made['id']}")).json()
    assert (waiting["status"], waiting["tags"], waiting["idempotencyKey"]) == ("WAITING", ["a"], "i")
    assert "output" not in waiting
    assert waiting["url"] == made["url"]
    done = await client.post(f"{PATH}/{made['id']}/complete", json={"data": {"status": "approved"}})
    assert done.json() == {"success": True}
    again = await client.post(f"{PATH}/{made['id']}/complete", json={"data": 2})
    assert again.json() == {"success": True}
    completed = (await client.get(f"{PATH}/{made['id']}")).json()
    assert (completed["status"], completed["output"]) == ("COMPLETED", '{"status":"approved"}')
    assert completed["outputIsError"] is False
    token = await engine.tokens.retrieve(made["id"])
    assert (token.output, token.output_type) == ('{"status":"approved"}', "application/json")


async def test_a_token_needs_no_body(client: httpx.AsyncClient) -> None:
    token_id = (await client.post(PATH)).json()["id"]
    assert "timeoutAt" not in (await client.get(f"{PATH}/{token_id}")).json()
    assert (await client.post(f"{PATH}/{token_id}/complete")).json() == {"success": True}
    assert "output" not in (await client.get(f"{PATH}/{token_id}")).json()


async def test_an_idempotency_key_finds_the_token(client: httpx.AsyncClient) -> None:
    first, second = await make(client, idempotencyKey="k"), await make(client, idempotencyKey="k")
    assert (first["id"], second["isCached"]) == (second["id"], True)


async def test_a_token_that_timed_out_shows_an_error(client: httpx.AsyncClient) -> None:
    token_id = (await make(client, timeout="2001-01-01T00:00:00.000Z"))["id"]
    found = (await client.get(f"{PATH}/{token_id}")).json()
    while found["status"] == "WAITING":
        found = (await client.get(f"{PATH}/{token_id}")).json()
    assert (found["status"], found["outputIsError"]) == ("TIMED_OUT", True)
    assert "TRIGGER_WAITPOINT_TIMEOUT" in found["output"]


async def test_the_url_of_a_token_completes_it_without_a_key(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    made = await make(client)
    wrong = await anonymous.post(made["url"][:-1] + ("0" if made["url"][-1] != "0" else "1"), json=1)
    assert wrong.status_code == 401
    assert (await anonymous.post(made["url"], json={"a": 1})).json() == {"success": True}
    assert (await client.get(f"{PATH}/{made['id']}")).json()["output"] == '{"a":1}'


async def test_a_callback_that_is_no_json_gives_an_empty_object(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    made = await make(client)
    await anonymous.post(made["url"], content=b"a=1&b=2")
    assert (await client.get(f"{PATH}/{made['id']}")).json()["output"] == "{}"


async def test_a_callback_needs_a_length(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    async def chunks() -> object:
        yield b"{}"

    made = await make(client)
    assert (await anonymous.post(made["url"], content=chunks())).status_code == 411  # type: ignore[arg-type] # an async generator is what httpx takes


async def test_the_answer_brings_a_token_that_completes_it(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    made = await client.post(PATH, json={})
    other = await make(client)
    headers = {"authorization": f"Bearer {made.headers['x-trigger-jwt']}"}
    refused = await anonymous.post(f"{PATH}/{other['id']}/complete", json={}, headers=headers)
    done = await anonymous.post(f"{PATH}/{made.json()['id']}/complete", json={}, headers=headers)
    assert (refused.status_code, done.status_code) == (403, 200)


async def test_lists_filter_tokens(client: httpx.AsyncClient) -> None:
    first = await make(client, tags=["a"])
    second = await make(client, idempotencyKey="k")
    await client.post(f"{PATH}/{first['id']}/complete", json={})

    async def found(query: str) -> list[str]:
        answer = await client.get(f"{PATH}?{query}")
        return [token["id"] for token in answer.json()["data"]]

    assert await found("") == [second["id"], first["id"]]
    assert await found("filter[status]=WAITING") == [second["id"]]
    assert await found("filter[tags]=a") == [first["id"]]
    assert await found("filter[idempotencyKey]=k") == [second["id"]]
    page = (await client.get(f"{PATH}?page[size]=1")).json()
    after = page["pagination"]["next"]
    assert await found(f"page[size]=1&page[after]={after}") == [first["id"]]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/waitpoint_none"), ("POST", "/waitpoint_none/complete")]
)
async def test_an_unknown_token_is_404(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, PATH + path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Waitpoint not found"})


async def test_bad_tokens_are_refused(client: httpx.AsyncClient) -> None:
    async def status(**body: object) -> int:
        return (await client.post(PATH, json=body)).status_code

    assert await status(timeout="soon") == 422
    assert await status(timeout=[]) == 400
    assert await status(idempotencyKey="") == 400
    assert await status(idempotencyKey="k", idempotencyKeyTTL="x") == 422
    assert await status(tags=[str(n) for n in range(11)]) == 422
    assert await status(tags=["x" * 20_000]) == 413
