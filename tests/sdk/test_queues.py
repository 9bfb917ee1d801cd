"""`queues`: what the client sends for each way to name a queue, and what it makes of the answer."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.sdk.server import Server, answer
from triggerdev import ContextError, NotFoundError, PayloadError, queue, queues, task
from triggerdev.sdk.queues import QueueState

ID = "queue_0123456789abcdef01234"


def state(**fields: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "name": "emails",
        "type": "custom",
        "running": 1,
        "queued": 2,
        "paused": False,
        "concurrencyLimit": 3,
        "concurrency": {
            "current": 3,
            "base": 5,
            "override": 3,
            "overriddenAt": "2026-11-23T04:46:06.977Z",
            "overriddenBy": None,
        },
        **fields,
    }


def a_task(**options: Any) -> Any:
    @task(id="send/email", **options)
    def send(payload: dict[str, Any]) -> None: ...

    return send


async def test_a_queue_is_read_with_its_limits() -> None:
    Server(answer(state()))
    found = await queues.retrieve("emails")
    assert found == QueueState(
        id=ID,
        name="emails",
        type="custom",
        running=1,
        queued=2,
        paused=False,
        concurrency_limit=3,
        base=5,
        override=3,
        overridden_at=datetime(2026, 11, 23, 4, 46, 6, 977_000, UTC),
    )


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("emails", "emails?type=custom"),
        (ID, f"{ID}?type=id"),
        ("queue_1", "queue_1?type=custom"),
        ("task/send", "task%252Fsend?type=custom"),
        ({"type": "task", "name": "a/b"}, "a%252Fb?type=task"),
        ({"name": "emails"}, "emails?type=custom"),
        (queue("mail", concurrency_limit=1), "mail?type=custom"),
        (a_task(), "send%252Femail?type=task"),
        (a_task(queue={"concurrency_limit": 1}), "task%252Fsend%252Femail?type=custom"),
        (a_task(queue="mail"), "mail?type=custom"),
    ],
)
async def test_a_queue_can_be_named_in_many_ways(reference: Any, path: str) -> None:
    server = Server(answer(state()))
    await queues.retrieve(reference)
    assert server.calls == [f"GET /api/v1/queues/{path}"]


@pytest.mark.parametrize("reference", ["", 3, None, {"type": "id", "name": "x"}, {"name": 1}, {"nom": "x"}])
async def test_what_names_no_queue_is_refused_before_it_is_sent(reference: Any) -> None:
    server = Server(answer(state()))
    with pytest.raises(PayloadError, match="queue"):
        await queues.pause(reference)
    assert server.calls == []


async def test_changing_a_queue() -> None:
    server = Server(answer(state(paused=True)), answer(state()))
    assert (await queues.pause("emails")).paused
    await queues.resume("emails")
    await queues.override_concurrency_limit("emails", 0)
    await queues.reset_concurrency_limit("emails")
    assert server.calls == [
        "POST /api/v1/queues/emails/pause",
        "POST /api/v1/queues/emails/pause",
        "POST /api/v1/queues/emails/concurrency/override",
        "POST /api/v1/queues/emails/concurrency/reset",
    ]
    assert [server.body(index) for index in range(4)] == [
        {"type": "custom", "action": "pause"},
        {"type": "custom", "action": "resume"},
        {"type": "custom", "concurrencyLimit": 0},
        {"type": "custom"},
    ]


@pytest.mark.parametrize("limit", [-1, 100_001, 1.5, "3", None, True])
async def test_a_limit_that_makes_no_sense_is_refused(limit: Any) -> None:
    Server(answer(state()))
    with pytest.raises(PayloadError, match="concurrency_limit"):
        await queues.override_concurrency_limit("emails", limit)


async def test_an_unknown_queue_is_not_found() -> None:
    Server(answer({"error": "Queue not found"}, 404))
    with pytest.raises(NotFoundError, match="Queue not found"):
        await queues.retrieve("nope")


async def test_queues_are_listed_over_all_pages() -> None:
    pages = [
        answer({"data": [state(name=name)], "pagination": {"currentPage": n, "totalPages": 2, "count": 2}})
        for n, name in enumerate("ab", 1)
    ]
    server = Server(*pages)
    assert [each.name async for each in queues.list()] == ["a", "b"]
    assert server.calls == [f"GET /api/v1/queues?page={n}&perPage=100" for n in (1, 2)]


def test_the_same_without_an_event_loop() -> None:
    Server(answer({"data": [state()], "pagination": {"totalPages": 1}}), answer(state()))
    assert [each.name for each in queues.sync.list()] == ["emails"]
    calls = (queues.sync.retrieve, queues.sync.pause, queues.sync.resume, queues.sync.reset_concurrency_limit)
    assert [call("emails").name for call in calls] == ["emails"] * 4
    assert queues.sync.override_concurrency_limit("emails", 3).override == 3


async def test_a_blocking_call_on_a_loop_names_the_awaitable_one() -> None:
    with pytest.raises(ContextError, match=r"await queues\.pause"):
        queues.sync.pause("emails")
    with pytest.raises(ContextError, match=r"await queues\.list"):
        queues.sync.list()
