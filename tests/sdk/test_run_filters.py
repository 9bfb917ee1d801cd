"""Filters of `runs.list`: their names, forms and mistakes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sdk.server import Server, answer
from triggerdev import BatchHandle, PayloadError, queue, runs, task
from triggerdev.sdk import registry as registries

DAY = datetime(2026, 1, 1, tzinfo=UTC)
DAY_MS = str(round(DAY.timestamp() * 1000))


with registries.use(registries.Registry()):

    @task(id="listed")
    def listed() -> None: ...


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"task": "a"}, {"filter[taskIdentifier]": "a"}),
        ({"task": listed}, {"filter[taskIdentifier]": "listed"}),
        ({"task": [listed, "b"]}, {"filter[taskIdentifier]": "listed,b"}),
        ({"task_identifier": ["a", "b"]}, {"filter[taskIdentifier]": "a,b"}),
        ({"status": ["QUEUED", "FAILED"]}, {"filter[status]": "QUEUED,FAILED"}),
        ({"tag": ("a", "b")}, {"filter[tag]": "a,b"}),
        ({"queue": queue(name="q")}, {"filter[queue]": "q"}),
        ({"batch": BatchHandle("batch_1", 2)}, {"filter[batch]": "batch_1"}),
        ({"from_": DAY, "to": "2026-01-01"}, {f"filter[createdAt][{n}]": DAY_MS for n in ("from", "to")}),
        ({"created_from": DAY}, {"filter[createdAt][from]": DAY_MS}),
        ({"period": timedelta(days=2)}, {"filter[createdAt][period]": "172800s"}),
        ({"is_test": True, "schedule": "s"}, {"filter[isTest]": "true", "filter[schedule]": "s"}),
        ({"region": "eu", "bulk_action": "b"}, {"filter[region]": "eu", "filter[bulkAction]": "b"}),
        ({"limit": 5, "after": None}, {"page[size]": "5"}),
    ],
)
async def test_filters_in_the_wire_form(given: Any, sent: dict[str, str]) -> None:
    server = Server(answer({"data": [], "pagination": {}}))
    await runs.list(**given)
    assert dict(server.requests[0].url.params) == sent


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"status": "FAILD"}, "status='FAILD' is none of .* Did you mean 'FAILED'"),
        ({"status": ["QUEUED", "failed"]}, "status='failed' is none of .* Did you mean 'FAILED'"),
        ({"tag": [object()]}, "tag=.*: use a text, or a list"),
        ({"from_": "yesterday"}, "from_='yesterday' is no ISO 8601 date"),
        ({"to": 5}, "to=5 is no ISO 8601 date"),
        ({"period": "long"}, "period='long' is no duration"),
        ({"task": "a", "task_identifier": "b"}, "'task_identifier' was given under another name"),
        ({"tags": "a"}, "no filter 'tags'; it has status"),
    ],
)
def test_mistakes_are_named(given: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        runs.list(**given)


async def test_what_the_server_does_not_accept_is_told_with_its_details() -> None:
    Server(answer({"error": "Query Error", "details": ["page[size]: too many"]}, 400))
    with pytest.raises(Exception, match=r"400 Query Error: page\[size\]: too many"):
        await runs.list(limit=500)
