"""Following runs in the protocol of Electric shapes: /realtime/v1/runs and /realtime/v1/batches."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.server import ask
from tests.server.conftest import KEY
from tests.server.toy_worker import ToyWorker
from triggerdev._prices import Prices
from triggerdev.engine.engine import Engine
from triggerdev.server.context import Api

UP_TO_DATE = {"headers": {"control": "up-to-date"}}


class Follower:
    """A client of shapes: it asks for all, then for what is new, and keeps what it is told."""

    def __init__(self, client: httpx.AsyncClient, path: str, **query: str) -> None:
        self.client, self.path, self.query = client, path, query
        self.place: dict[str, str] = {"offset": "-1"}
        self.headers: httpx.Headers

    async def next(self) -> list[dict[str, Any]]:
        """The messages of one request, without the closing up-to-date."""
        answer = await self.client.get(self.path, params={**self.query, **self.place})
        assert answer.status_code == 200, answer.text
        messages: list[dict[str, Any]]
        *messages, last = answer.json()
        assert last == UP_TO_DATE
        self.headers = answer.headers
        self.place = {
            "offset": answer.headers["electric-offset"],
            "handle": answer.headers["electric-handle"],
            "cursor": answer.headers.get("electric-cursor", ""),
            "live": "true",
        }
        return messages

    async def states(self) -> list[tuple[str, str]]:
        """Run and status of each row of one request."""
        return [(row["value"]["friendlyId"], row["value"]["status"]) for row in await self.next()]


@pytest.fixture(autouse=True)
async def nothing_is_left_waiting(api: Api) -> AsyncIterator[None]:
    yield
    api.release()


async def test_a_row_shows_what_a_run_costs(
    client: httpx.AsyncClient, worker: ToyWorker, engine: Engine
) -> None:
    engine._prices = Prices(0.25, {"small-1x": 2.0})
    run = await ask.trigger(client, "held")
    await worker.executing(run)
    (row,) = await Follower(client, f"/realtime/v1/runs/{run}").next()
    shown = (await client.get(f"/api/v3/runs/{run}")).json()
    assert (row["value"]["costInCents"], row["value"]["baseCostInCents"]) == ("0", "0.25")
    assert (shown["costInCents"], shown["baseCostInCents"]) == (0, 0.25)


async def test_a_run_is_followed_from_its_start_to_its_end(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run = await ask.trigger(client, "held", options={"tags": ['say "hi"', "a\\b"], "metadata": {"n": 1}})
    await worker.executing(run)
    follower = Follower(client, f"/realtime/v1/runs/{run}")
    (row,) = await follower.next()
    assert row["headers"] == {"operation": "insert"}
    assert row["key"] == f'"public"."TaskRun"/"{run}"'
    value = row["value"]
    assert (value["id"], value["taskIdentifier"], value["status"]) == (run, "held", "EXECUTING")
    assert value["runTags"] == r'{"say \"hi\"","a\\b"}'
    assert (value["metadata"], value["isTest"], value["completedAt"]) == ('{"n":1}', "f", None)
    assert not value["createdAt"].endswith("Z")
    schema = json.loads(follower.headers["electric-schema"])
    assert set(schema) == set(value)
    assert schema["runTags"] == {"type": "text", "dims": 1}
    assert follower.headers["electric-up-to-date"] == ""
    waiting = asyncio.create_task(follower.next())
    worker.finish(run, output='{"done":true}')
    (row,) = await waiting
    assert row["headers"] == {"operation": "update"}
    assert row["value"]["status"] == "COMPLETED_SUCCESSFULLY"
    assert row["value"]["output"] == '{"done":true}'
    assert row["value"]["completedAt"] is not None
    assert "electric-cursor" in follower.headers
    assert "electric-schema" not in follower.headers


async def test_a_change_after_the_end_is_told_too(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run = await ask.trigger(client)
    await ask.finished(client, run)
    follower = Follower(client, f"/realtime/v1/runs/{run}")
    await follower.next()
    waiting = asyncio.create_task(follower.next())
    await client.post(f"/api/v1/runs/{run}/tags", json={"tags": "late"})
    (row,) = await waiting
    assert row["value"]["runTags"] == '{"late"}'


async def test_runs_of_a_tag_are_those_that_have_all_of_them(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    old = await ask.trigger(client, options={"tags": ["a", "b"]})
    await ask.trigger(client, options={"tags": ["a"]})
    await ask.finished(client, old)
    follower = Follower(client, "/realtime/v1/runs", tags="b,a")
    assert await follower.states() == [(old, "COMPLETED_SUCCESSFULLY")]
    waiting = asyncio.create_task(follower.states())
    await ask.trigger(client, "held", options={"tags": ["a"]})
    new = await ask.trigger(client, "held", options={"tags": ["a", "b"]})
    assert {run for run, _ in await waiting} == {new}
    await worker.executing(new)
    worker.finish(new)
    while "COMPLETED_SUCCESSFULLY" not in [status for _, status in await follower.states()]:
        pass


async def test_a_run_that_gets_the_tag_later_is_followed_from_then(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run = await ask.trigger(client, "held")
    await worker.executing(run)
    follower = Follower(client, "/realtime/v1/runs", tags="vip")
    assert await follower.states() == []
    waiting = asyncio.create_task(follower.states())
    await client.post(f"/api/v1/runs/{run}/tags", json={"tags": ["vip"]})
    assert await waiting == [(run, "EXECUTING")]


async def test_only_runs_of_the_time_that_is_asked_for(client: httpx.AsyncClient, engine: Engine) -> None:
    run = await ask.trigger(client, options={"tags": ["t"], "delay": "1d"})
    path = "/realtime/v1/runs"
    assert await Follower(client, path, tags="t", createdAt="1h").states() == [(run, "DELAYED")]
    assert await Follower(client, path, tags="t", createdAt="0s").states() == []


async def test_an_answer_that_got_lost_is_given_again(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    follower = Follower(client, "/realtime/v1/runs", tags="t")
    assert await follower.states() == []
    before = dict(follower.place)
    run = await ask.trigger(client, "held", options={"tags": ["t"]})
    await worker.executing(run)
    told = await follower.states()
    follower.place = before
    again = await follower.states()
    assert {each for each, _ in told} == {each for each, _ in again} == {run}


async def test_a_client_that_asks_again_gives_up_what_it_asked_before(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    follower = Follower(client, "/realtime/v1/runs", tags="t")
    await follower.next()
    place = dict(follower.place)
    first = asyncio.create_task(client.get(follower.path, params={**follower.query, **place}))
    await asyncio.sleep(0)  # lets it begin
    second = asyncio.create_task(follower.states())
    assert (await first).json() == [UP_TO_DATE]
    run = await ask.trigger(client, "held", options={"tags": ["t"]})
    assert {each for each, _ in await second} == {run}


async def test_another_server_goes_on_with_what_has_changed_since(
    client: httpx.AsyncClient, worker: ToyWorker, api: Api
) -> None:
    known = await ask.trigger(client, "held", options={"tags": ["t"]})
    await worker.executing(known)
    follower = Follower(client, "/realtime/v1/runs", tags="t")
    await follower.next()
    api.subscriptions._by_key.clear()  # as after a restart
    missed = await ask.trigger(client, "held", options={"tags": ["t"]})
    await worker.executing(missed)
    assert missed in {run for run, _ in await follower.states()}
    waiting = asyncio.create_task(follower.states())
    worker.finish(known)
    assert await waiting == [(known, "COMPLETED_SUCCESSFULLY")]


async def test_runs_of_a_batch_and_those_it_has_found(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    cached = await ask.trigger(client, "held", options={"idempotencyKey": "k"})
    batch = (await client.post("/api/v3/batches", json={"runCount": 2})).json()["id"]
    follower = Follower(client, f"/realtime/v1/batches/{batch}")
    assert await follower.states() == []
    waiting = asyncio.create_task(follower.states())
    lines = [
        {"index": 0, "task": "held", "options": {"idempotencyKey": "k"}},
        {"index": 1, "task": "held"},
    ]
    content = "\n".join(map(json.dumps, lines))
    await client.post(f"/api/v3/batches/{batch}/items", content=content)
    told = {run for run, _ in await waiting}
    runs = (await client.get(f"/api/v2/batches/{batch}")).json()["runs"]
    while told != set(runs):
        told |= {run for run, _ in await follower.states()}
    assert cached in told


async def test_skipped_columns_are_neither_sent_nor_announced(client: httpx.AsyncClient) -> None:
    run = await ask.trigger(client, payload={"secret": 1}, options={"delay": "1h"})
    follower = Follower(client, f"/realtime/v1/runs/{run}", skipColumns="payload,status,id")
    (row,) = await follower.next()
    assert "payload" not in row["value"]
    assert row["value"]["status"] == "DELAYED"
    assert "payload" not in json.loads(follower.headers["electric-schema"])


async def test_a_token_may_forbid_columns(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, api: Api
) -> None:
    import jwt

    run = await ask.trigger(client, options={"delay": "1h", "tags": ["t"]})
    claims = jwt.decode(api.signer.sign(["read:tags:t"]), options={"verify_signature": False})
    claims["realtime"] = {"skipColumns": ["payload"]}
    anonymous.headers["authorization"] = f"Bearer {jwt.encode(claims, KEY, algorithm='HS256')}"
    for path in (f"/realtime/v1/runs/{run}", "/realtime/v1/runs?tags=t"):
        rows = (await anonymous.get(path)).json()
        assert "payload" not in rows[0]["value"], path
    assert (await anonymous.get("/realtime/v1/runs?tags=other")).status_code == 403


async def test_browsers_may_read_the_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/realtime/v1/runs?tags=t", headers={"origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "*"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/realtime/v1/runs/run_nope", 404),
        ("/realtime/v1/batches/batch_nope", 404),
        ("/realtime/v1/runs", 400),
        ("/realtime/v1/runs?tags=", 400),
        ("/realtime/v1/runs?tags=" + ",".join(map(str, range(11))), 400),
        ("/realtime/v1/runs?tags=t&createdAt=soon", 400),
        ("/realtime/v1/runs?tags=t&live=maybe", 400),
    ],
)
async def test_what_cannot_be_followed_is_refused(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert "error" in answer.json()


async def test_an_offset_that_is_none_begins_anew(client: httpx.AsyncClient) -> None:
    for offset in ("x", "1", "_", "1_x", "9" * 40):
        params = {"tags": "t", "live": "true", "offset": offset}
        answer = await client.get("/realtime/v1/runs", params=params)
        assert answer.json() == [UP_TO_DATE], offset
        assert "electric-schema" in answer.headers


async def test_a_server_that_stops_answers_who_waits(
    client: httpx.AsyncClient, worker: ToyWorker, api: Api
) -> None:
    run = await ask.trigger(client, "held")
    await worker.executing(run)
    followers = [
        Follower(client, f"/realtime/v1/runs/{run}"),
        Follower(client, "/realtime/v1/runs", tags="t"),
    ]
    for follower in followers:
        await follower.next()
    waiting = [asyncio.create_task(follower.next()) for follower in followers]
    while len(api._held) < 2:
        await asyncio.sleep(0)
    api.release()
    assert await asyncio.gather(*waiting) == [[], []]
