"""The client against the wire format of the official SDK's captured requests."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

import triggerdev
from tests.sdk.server import Server, answer, run
from triggerdev import (
    AuthenticationError,
    ConnectionFailedError,
    ContextError,
    InternalServerError,
    NotFoundError,
    PayloadError,
    UnprocessableEntityError,
    batch,
    runs,
    schedules,
    task,
    tasks,
    wait,
)


async def test_trigger_sends_payload_and_options_in_the_wire_form() -> None:
    server = Server(answer({"id": "run_9", "isCached": True}, x_trigger_jwt="token"))
    handle = await tasks.trigger(
        "process-data",
        {"user_id": "123"},
        delay="2h30m",
        ttl="24h",
        priority=100,
        tags=["urgent", "user_123"],
        metadata={"source": "api"},
        queue={"name": "priority-queue", "concurrency_limit": 10},
        concurrency_key=7,
        idempotency_key="unique-operation-id",
        idempotency_key_ttl="1h",
        machine={"preset": "large-1x"},
        max_attempts=5,
        max_duration=60,
        debounce={"key": "k", "delay": timedelta(seconds=5), "mode": "trailing", "max_delay": "1m"},
    )
    assert (handle.id, handle.task_identifier, handle.is_cached) == ("run_9", "process-data", True)
    assert handle.public_access_token == "token"
    assert server.calls == ["POST /api/v1/tasks/process-data/trigger"]
    assert server.body() == {
        "payload": '{"user_id":"123"}',
        "options": {
            "payloadType": "application/json",
            "delay": "2h30m",
            "ttl": "24h",
            "priority": 100,
            "tags": ["urgent", "user_123"],
            "metadata": {"source": "api"},
            "queue": {"name": "priority-queue", "concurrencyLimit": 10},
            "concurrencyKey": "7",
            "idempotencyKey": "5db4ebdd1994e33aace7edf00128e60476fb1cfbbf8d5499e30e19a58f35a404",
            "idempotencyKeyOptions": {"key": "unique-operation-id", "scope": "run"},
            "idempotencyKeyTTL": "1h",
            "machine": "large-1x",
            "maxAttempts": 5,
            "maxDuration": 60,
            "debounce": {"key": "k", "delay": "5s", "mode": "trailing", "maxDelay": "1m"},
        },
    }
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer tr_dev_secret"
    assert headers["x-trigger-api-version"] == "2025-07-16"
    assert headers["content-type"] == "application/json"


async def test_moments_and_periods_become_wire_text() -> None:
    server = Server(answer({"id": "run_9"}))
    await tasks.trigger("t", delay=timedelta(minutes=5), ttl=60)
    assert server.body()["options"] == {"payloadType": "application/json", "delay": "300s", "ttl": 60}
    await tasks.trigger("t", delay=datetime(2030, 1, 1, tzinfo=UTC))
    assert server.body()["options"]["delay"] == "2030-01-01T00:00:00.000Z"


async def test_task_ids_are_quoted_and_no_payload_is_no_payload() -> None:
    server = Server(answer({"id": "run_9"}))
    await tasks.trigger("a/b c")
    assert server.calls == ["POST /api/v1/tasks/a%2Fb%20c/trigger"]
    assert "payload" not in server.body()


async def test_a_task_object_triggers_itself() -> None:
    @dataclass
    class Order:
        name: str

    @task(id="take")
    async def take(payload: Order) -> None: ...

    server = Server(answer({"id": "run_9"}))
    await take.trigger(Order("tea"), tags="one")
    assert server.body()["payload"] == '{"name":"tea"}'
    assert server.body()["options"]["tags"] == ["one"]


async def test_batches_go_in_two_phases_and_again_until_sealed() -> None:
    created = answer({"id": "batch_1", "runCount": 2, "isCached": False}, 202)
    open_answer = answer({"id": "batch_1", "itemsAccepted": 1, "itemsDeduplicated": 0, "sealed": False})
    sealed = answer({"id": "batch_1", "itemsAccepted": 1, "itemsDeduplicated": 1, "sealed": True})
    server = Server(created, open_answer, sealed)
    items: list[dict[str, Any]] = [{"payload": {"a": 1}}, {"payload": {"a": 2}, "options": {"tags": ["t"]}}]
    handle = await tasks.batch_trigger("process-data", items)
    assert (handle.batch_id, handle.run_count) == ("batch_1", 2)
    assert server.calls == [
        "POST /api/v3/batches",
        *["POST /api/v3/batches/batch_1/items"] * 2,
    ]
    assert server.body(0) == {"runCount": 2, "taskIdentifiers": ["process-data"]}
    assert server.requests[1].headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in server.requests[1].content.splitlines()]
    assert lines[0] == {
        "index": 0,
        "task": "process-data",
        "payload": '{"a":1}',
        "options": {"payloadType": "application/json"},
    }
    assert lines[1]["options"] == {"tags": ["t"], "payloadType": "application/json"}


async def test_a_batch_of_several_tasks_names_them_by_id_or_object() -> None:
    @task(id="ship")
    def ship() -> None: ...

    created = answer({"id": "batch_1", "runCount": 2, "isCached": False}, 202)
    server = Server(created, answer({"id": "batch_1", "itemsAccepted": 2, "sealed": True}))
    await batch.trigger_by_task([{"task": ship, "payload": 1}, {"id": "bill", "payload": 2}])
    assert server.body(0) == {"runCount": 2, "taskIdentifiers": ["bill", "ship"]}
    lines = [json.loads(line) for line in server.requests[1].content.splitlines()]
    assert [(line["index"], line["task"], line["payload"]) for line in lines] == [
        (0, "ship", "1"),
        (1, "bill", "2"),
    ]


async def test_a_cached_batch_sends_no_items() -> None:
    server = Server(answer({"id": "batch_1", "runCount": 1, "isCached": True}, 202))
    handle = await batch.trigger([{"id": "one", "payload": 1}], idempotency_key="k")
    assert handle.is_cached
    assert len(server.requests) == 1


async def test_batch_retrieve_reads_the_state() -> None:
    Server(
        answer(
            {
                "id": "batch_1",
                "status": "COMPLETED",
                "createdAt": "2026-11-23T04:46:07.888Z",
                "updatedAt": "2026-11-23T04:46:07.888Z",
                "runCount": 2,
                "runs": ["run_1", "run_2"],
                "processing": {"errors": [], "completedAt": "2026-11-23T04:46:08Z"},
            }
        )
    )
    found = await batch.retrieve("batch_1")
    assert found.is_completed
    assert found.runs == ["run_1", "run_2"]
    assert found.completed_at == datetime(2026, 11, 23, 4, 46, 8, tzinfo=UTC)


async def test_a_run_is_read_into_typed_fields() -> None:
    error = {"message": "boom", "name": "ValueError", "stackTrace": "..."}
    related = {"parent": {"id": "run_0"}, "root": {"id": "run_r"}, "children": [{"id": "run_2"}]}
    server = Server(answer(run("FAILED", error=error, relatedRuns=related, payload={"a": 1})))
    found = await runs.retrieve("run_1")
    assert server.calls == ["GET /api/v3/runs/run_1"]
    assert (found.status, found.task_identifier, found.payload) == ("FAILED", "process-data", {"a": 1})
    assert (found.duration_ms, found.cost_in_cents, found.attempt_count, found.tags) == (12, 0, 1, ["a"])
    assert found.created_at == datetime(2026, 11, 23, 4, 46, 6, 977000, tzinfo=UTC)
    assert (found.parent_id, found.root_id, found.children) == ("run_0", "run_r", ["run_2"])
    assert found.error is not None
    assert (str(found.error), found.error.name) == ("boom", "ValueError")
    assert found.is_completed
    assert not found.is_success


async def test_an_end_is_an_end_even_where_the_server_says_otherwise() -> None:
    Server(answer(run("TIMED_OUT", isCompleted=False)))
    assert (await runs.retrieve("run_1")).is_completed


async def test_cancel_replay_and_reschedule() -> None:
    server = Server(answer({"id": "run_1"}), answer({"id": "run_2"}), answer(run("DELAYED")))
    await runs.cancel("run_1")
    assert (await runs.replay("run_1")).id == "run_2"
    assert (await runs.reschedule("run_1", delay="1s")).status == "DELAYED"
    assert server.calls == [
        "POST /api/v2/runs/run_1/cancel",
        "POST /api/v1/runs/run_1/replay",
        "POST /api/v1/runs/run_1/reschedule",
    ]
    assert server.body() == {"delay": "1s"}


async def test_a_listing_is_one_page_when_awaited_and_all_pages_when_iterated() -> None:
    def pages(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("page[after]"):
            return answer({"data": [run(id="run_3")], "pagination": {"previous": "p"}})
        return answer({"data": [run(id="run_1"), run(id="run_2")], "pagination": {"next": "c"}})

    server = Server(pages)
    page = await runs.list(status=["QUEUED", "COMPLETED"], tag="user_1", is_test=False, limit=2)
    assert [found.id for found in page.data] == ["run_1", "run_2"]
    assert page.next == "c"
    assert dict(server.requests[0].url.params) == {
        "filter[status]": "QUEUED,COMPLETED",
        "filter[tag]": "user_1",
        "filter[isTest]": "false",
        "page[size]": "2",
    }
    assert [found.id async for found in runs.list()] == ["run_1", "run_2", "run_3"]
    with pytest.raises(PayloadError, match="no filter 'stat'"):
        runs.list(stat="QUEUED")  # type: ignore[call-arg]  # the mistake is what is tested


async def test_poll_uses_the_servers_long_poll() -> None:
    server = Server(
        answer(run("QUEUED", rev=1)),
        answer(run("QUEUED", rev=1)),
        answer(run("EXECUTING", rev=2)),
        answer(run("COMPLETED", rev=3, output=7)),
    )
    found = await runs.poll("run_1")
    assert found.output == 7
    queries = [dict(request.url.params) for request in server.requests]
    assert queries[0] == {}
    assert [query.get("since") for query in queries] == [None, "1", "1", "2"]
    assert all(float(query["wait"]) == 20 for query in queries[1:])


async def test_poll_sleeps_where_there_is_no_long_poll() -> None:
    server = Server(answer(run("QUEUED")), answer(run("EXECUTING")), answer(run("COMPLETED")))
    found = await runs.poll("run_1", poll_interval=0)
    assert found.is_success
    assert len(server.requests) == 3


async def test_poll_gives_up_after_its_timeout() -> None:
    Server(answer(run("QUEUED", rev=1)))
    with pytest.raises(TimeoutError, match=r"run_1 is QUEUED; it has not ended within 0.0"):
        await runs.poll("run_1", timeout=0.01)


async def test_subscribing_yields_each_change_until_the_end() -> None:
    Server(
        answer(run("QUEUED", rev=1)),
        answer(run("EXECUTING", rev=2)),
        answer(run("EXECUTING", rev=2)),
        answer(run("COMPLETED", rev=3)),
    )
    seen = [found.status async for found in runs.subscribe_to_run("run_1")]
    assert seen == ["QUEUED", "EXECUTING", "COMPLETED"]


async def test_tokens_over_http() -> None:
    token = {"id": "waitpoint_1", "isCached": False, "url": "http://x/callback"}
    server = Server(answer(token, x_trigger_jwt="jwt"))
    made = await wait.create_token(timeout="10m", idempotency_key="i", idempotency_key_ttl="1h", tags=["a"])
    assert (made.id, made.url, made.public_access_token) == ("waitpoint_1", "http://x/callback", "jwt")
    assert server.body() == {
        "timeout": "10m",
        "idempotencyKey": "i",
        "idempotencyKeyTTL": "1h",
        "tags": ["a"],
    }
    server = Server(answer({"success": True}))
    await wait.complete_token("waitpoint_1", {"status": "approved"})
    assert server.calls == ["POST /api/v1/waitpoints/tokens/waitpoint_1/complete"]
    assert server.body() == {"data": {"status": "approved"}}


async def test_a_token_is_found_by_its_name() -> None:
    info = {"id": "waitpoint_7", "status": "WAITING", "createdAt": "2026-11-23T04:46:10.797Z", "tags": []}
    server = Server(answer({"data": [info], "pagination": {}}), answer({"success": True}))
    await wait.complete_token("approval", True)
    assert dict(server.requests[0].url.params) == {"filter[idempotencyKey]": "approval"}
    assert server.calls[1] == "POST /api/v1/waitpoints/tokens/waitpoint_7/complete"
    Server(answer({"data": [], "pagination": {}}))
    with pytest.raises(NotFoundError, match="no token with the name 'nobody'"):
        await wait.complete_token("nobody")


async def test_token_details_and_lists() -> None:
    info = {"id": "waitpoint_7", "status": "COMPLETED", "createdAt": "2026-11-23T04:46:10.797Z"}
    Server(answer({**info, "output": '{"json":{"n":"1"},"meta":{"values":{"n":["bigint"]}}}', **_SUPER}))
    assert (await wait.retrieve_token("waitpoint_7")).output == {"n": 1}
    server = Server(answer({"data": [info], "pagination": {}}))
    assert [token.id async for token in wait.list_tokens(status="COMPLETED", tags=["a", "b"])] == [
        "waitpoint_7"
    ]
    assert server.requests[0].url.params["filter[tags]"] == "a,b"


_SUPER = {"outputType": "application/super+json"}


async def test_schedules_are_listed_over_all_pages() -> None:
    item = {
        "id": "sched_1",
        "type": "DECLARATIVE",
        "task": "report",
        "active": True,
        "generator": {"type": "CRON", "expression": "0 9 * * *"},
        "timezone": "UTC",
        "nextRun": "2026-11-23T09:00:00Z",
    }
    pagination = {"currentPage": 1, "totalPages": 2, "count": 2}
    Server(answer({"data": [item], "pagination": pagination}))
    found = [schedule async for schedule in schedules.list()]
    assert [(schedule.cron, schedule.task) for schedule in found] == [("0 9 * * *", "report")] * 2


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationError), (404, NotFoundError), (422, UnprocessableEntityError)],
)
async def test_refusals_are_raised_at_once(status: int, error: type[Exception]) -> None:
    server = Server(answer({"error": "No such thing"}, status))
    with pytest.raises(error, match=f"{status} No such thing"):
        await runs.retrieve("run_1")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_passing_trouble_is_tried_again_with_the_same_key(status: int) -> None:
    server = Server(answer({"error": "later"}, status), answer(None, status), answer({"id": "run_9"}))
    assert (await tasks.trigger("t")).id == "run_9"
    keys = {request.headers["x-trigger-request-idempotency-key"] for request in server.requests}
    assert (len(server.requests), len(keys)) == (3, 1)


async def test_trouble_that_stays_is_raised_after_five_tries() -> None:
    server = Server(answer({"error": "broken"}, 500))
    with pytest.raises(InternalServerError):
        await tasks.trigger("t")
    assert len(server.requests) == 5


async def test_the_server_decides_about_trying_again() -> None:
    server = Server(answer({"error": "broken"}, 500, x_should_retry="false"))
    with pytest.raises(InternalServerError):
        await runs.retrieve("run_1")
    assert len(server.requests) == 1
    server = Server(answer({"error": "lag"}, 404, x_should_retry="true"), answer(run()))
    await runs.retrieve("run_1")
    assert len(server.requests) == 2


async def test_a_missing_server_is_named_with_advice() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    server = Server(refuse)
    with pytest.raises(ConnectionFailedError, match=r"http://test.local: Connection refused.*trigger dev"):
        await runs.retrieve("run_1")
    assert len(server.requests) == 5


async def test_an_answer_that_is_no_json_is_named() -> None:
    Server(httpx.Response(200, text="<html>"))
    with pytest.raises(triggerdev.ApiError, match=r"no JSON.*TRIGGER_API_URL"):
        await runs.retrieve("run_1")


async def test_without_an_address_the_error_says_where_to_find_it() -> None:
    with pytest.raises(ContextError, match=r"TRIGGER_API_URL and TRIGGER_SECRET_KEY.*\.trigger/dev\.env"):
        await tasks.trigger("t")


def test_blocking_calls_work_after_an_event_loop_has_ended() -> None:
    server = Server(answer({"id": "run_9"}))

    async def main() -> str:
        return (await tasks.trigger("t", 1)).id

    assert asyncio.run(main()) == "run_9"
    assert tasks.sync.trigger("t", 2).id == "run_9"
    assert asyncio.run(main()) == "run_9"
    assert [server.body(index)["payload"] for index in range(3)] == ["1", "2", "1"]


def test_blocking_twins_follow_and_list() -> None:
    Server(answer(run("EXECUTING", rev=1)), answer(run("COMPLETED", rev=2)))
    assert runs.sync.poll("run_1").is_success
    Server(answer(run("EXECUTING", rev=1)), answer(run("COMPLETED", rev=2)))
    assert [found.status for found in runs.sync.subscribe_to_run("run_1")] == ["EXECUTING", "COMPLETED"]
    Server(answer({"data": [run()], "pagination": {}}))
    listing = runs.sync.list(limit=1)
    assert [found.id for found in listing] == [found.id for found in listing.data] == ["run_1"]


@pytest.mark.parametrize(
    ("call", "form"),
    [
        (lambda: tasks.sync.trigger("t"), "await tasks.trigger"),
        (lambda: wait.sync.for_(seconds=1), "await wait.for_"),
        (lambda: runs.sync.poll("run_1"), "await runs.poll"),
        (lambda: runs.sync.list(), "await runs.list"),
    ],
)
async def test_blocking_calls_beside_a_loop_name_the_awaitable_form(
    call: Callable[[], Any], form: str
) -> None:
    with pytest.raises(ContextError, match=form):
        call()


async def test_calls_of_runs_are_refused_outside_of_runs() -> None:
    for call in (
        wait.for_(seconds=1),
        wait.for_token("x"),
        tasks.trigger_and_wait("t"),
        triggerdev.tags.add("x"),
    ):
        with pytest.raises(ContextError, match="only possible inside a task's run"):
            await call
