"""Triggers of one moment travel in one request; each caller gets what one of its own would bring."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.sdk.server import Server, answer
from triggerdev import InternalServerError, NotFoundError, RunHandle, UnprocessableEntityError, tasks
from triggerdev.sdk import gathering


def echo(request: httpx.Request) -> httpx.Response:
    """Answer each trigger with a run that is called after its payload."""
    body = json.loads(request.content)
    if request.url.path != "/api/v1/triggers":
        return answer({"id": f"run_{body['payload']}", "isCached": False}, x_trigger_jwt="alone")
    return answer({"results": [_result(item) for item in body["items"]]})


def _result(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"run_{item['payload']}",
        "isCached": item["payload"] == "7",
        "token": f"t{item['payload']}",
    }


async def together(count: int) -> list[RunHandle]:
    return await asyncio.gather(*(tasks.trigger("job", n) for n in range(count)))


async def test_calls_of_one_moment_are_one_request() -> None:
    server = Server(echo)
    handles = await together(100)
    assert [handle.id for handle in handles] == [f"run_{n}" for n in range(100)]
    assert (handles[7].is_cached, handles[8].is_cached) == (True, False)
    assert (handles[7].task_identifier, handles[7].public_access_token) == ("job", "t7")
    assert server.calls == ["POST /api/v1/triggers"]
    first = server.body()["items"][0]
    assert len({item.pop("key") for item in server.body()["items"]}) == 100
    assert {**first, "key": ""} == {
        "task": "job",
        "key": "",
        "payload": "0",
        "options": {"payloadType": "application/json"},
    }


async def test_a_call_by_itself_is_the_request_that_every_server_knows() -> None:
    server = Server(echo)
    assert (await tasks.trigger("job", 1)).public_access_token == "alone"
    assert server.calls == ["POST /api/v1/tasks/job/trigger"]


async def test_more_than_fit_into_one_request_are_several() -> None:
    server = Server(echo)
    assert len(await together(gathering.MAX_ITEMS + 1)) == gathering.MAX_ITEMS + 1
    assert sorted(server.calls) == ["POST /api/v1/tasks/job/trigger", "POST /api/v1/triggers"]
    server = Server(echo)
    large = "x" * (gathering.MAX_CHARACTERS // 4)  # a little more would be sent beside the request
    await asyncio.gather(*(tasks.trigger("job", large) for _ in range(6)))
    assert server.calls == ["POST /api/v1/triggers"] * 2


async def test_a_refused_trigger_fails_its_caller_alone() -> None:
    refused = {"status": 404, "error": "Task 'jbo' not found.", "shouldRetry": False}
    Server(answer({"results": [{"id": "run_1", "isCached": False, "token": ""}, refused]}))
    good, bad = await asyncio.gather(tasks.trigger("job"), tasks.trigger("jbo"), return_exceptions=True)
    assert isinstance(good, RunHandle)
    assert isinstance(bad, NotFoundError)
    assert str(bad) == "404 Task 'jbo' not found."


async def test_a_trigger_that_a_request_of_its_own_would_repeat_is_repeated() -> None:
    def busy(request: httpx.Request) -> httpx.Response:
        items = json.loads(request.content)["items"]
        return answer({"results": [_result(items[0]), {"status": 503, "error": "no database"}]})

    server = Server(busy, echo)
    handles = await together(2)
    assert [handle.id for handle in handles] == ["run_0", "run_1"]
    assert server.calls[1:] == ["POST /api/v1/tasks/job/trigger"]
    key = server.requests[1].headers["x-trigger-request-idempotency-key"]
    assert key == server.body(0)["items"][1]["key"]


async def test_a_server_without_the_request_gets_one_for_each() -> None:
    def old(request: httpx.Request) -> httpx.Response:
        known = request.url.path.endswith("/trigger")
        return echo(request) if known else answer({"error": "Not Found"}, 404)

    server = Server(old)
    assert [handle.id for handle in await together(3)] == ["run_0", "run_1", "run_2"]
    assert len(server.calls) == 4
    await together(3)
    assert "POST /api/v1/triggers" not in server.calls[4:]


@pytest.mark.parametrize(("status", "kind"), [(422, UnprocessableEntityError), (500, InternalServerError)])
async def test_a_request_that_fails_fails_every_call(status: int, kind: type[Exception]) -> None:
    Server(answer({"error": "broken"}, status))
    errors = await asyncio.gather(*(tasks.trigger("job", n) for n in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [kind] * 3


async def test_a_caller_who_gives_up_holds_up_nobody() -> None:
    server = Server(echo)
    calls = [asyncio.ensure_future(tasks.trigger("job", n)) for n in range(3)]
    asyncio.get_running_loop().call_soon(calls[1].cancel)
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(done[1], asyncio.CancelledError)
    assert [handle.id for handle in done if isinstance(handle, RunHandle)] == ["run_0", "run_2"]
    assert len(server.calls) == 1


def test_without_a_loop_each_call_is_a_request() -> None:
    server = Server(echo)
    assert [tasks.sync.trigger("job", n).id for n in range(2)] == ["run_0", "run_1"]
    assert server.calls == ["POST /api/v1/tasks/job/trigger"] * 2


def test_each_loop_has_calls_of_its_own() -> None:
    server = Server(echo)
    for _ in range(2):
        asyncio.run(_two())
    assert server.calls == ["POST /api/v1/triggers"] * 2


async def _two() -> None:
    await together(2)
