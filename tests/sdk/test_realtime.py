"""Rows of the realtime API as runs, from whatever server."""

from typing import Any

import httpx
import pytest

from tests.sdk.server import Server, answer
from triggerdev import runs
from triggerdev.sdk import realtime

DONE = {"headers": {"control": "up-to-date"}}


def row(**values: Any) -> dict[str, Any]:
    """A message about a run, with the columns that are given."""
    return {"key": "k1", "value": values, "headers": {"operation": "update"}}


FIRST = row(
    id="c1",
    friendlyId="run_1",
    taskIdentifier="t",
    status="PENDING",
    createdAt="2026-11-23T04:46:08.272",
    updatedAt="2026-11-23T04:46:08.272",
    isTest="t",
    usageDurationMs="12",
    costInCents="0.5",
    payload='{"json":{"z":1}}',
    payloadType="application/super+json",
    runTags='{"a","say \\"hi\\"",plain,"c\\\\d"}',
    error=None,
)


def rows(messages: list[dict[str, Any]], offset: str, status: int = 200, **headers: str) -> httpx.Response:
    """An answer that says where it ends."""
    return answer(messages, status, electric_offset=offset, electric_handle="h", **headers)


async def followed(count: int) -> list[runs.Run]:
    found = []
    async for run in runs.subscribe_to_runs_with_tag("a"):
        found.append(run)
        if len(found) == count:
            break
    return found


async def test_updates_may_bring_changed_columns_only() -> None:
    server = Server(
        rows([FIRST], "1_0"),
        rows([DONE], "1_0"),
        answer([row(status="COMPLETED_SUCCESSFULLY", output="5", outputType="application/json"), DONE]),
    )
    before, after = await followed(2)
    assert (before.status, before.payload, before.is_test) == ("QUEUED", {"z": 1}, True)
    assert (before.duration_ms, before.cost_in_cents, before.created_at.year) == (12, 0.5, 2026)
    assert before.tags == ["a", 'say "hi"', "plain", "c\\d"]
    assert (after.status, after.output, after.payload) == ("COMPLETED", 5, {"z": 1})
    queries = [dict(request.url.params) for request in server.requests]
    assert queries[0] == {"tags": "a", "offset": "-1"}
    assert queries[1] == {"tags": "a", "offset": "1_0", "handle": "h"}
    assert queries[2]["live"] == "true"


async def test_a_server_that_has_forgotten_a_subscription_is_asked_anew() -> None:
    again = row(**{**FIRST["value"], "status": "EXECUTING"})
    server = Server(
        rows([FIRST, DONE], "1_0", electric_up_to_date=""),
        rows([], "-1", 409),
        rows([again, DONE], "2_0"),
    )
    assert [run.status for run in await followed(2)] == ["QUEUED", "EXECUTING"]
    assert [request.url.params["offset"] for request in server.requests] == ["-1", "1_0", "-1"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("RETRYING_AFTER_FAILURE", "EXECUTING"),
        ("WAITING_TO_RESUME", "WAITING"),
        ("COMPLETED_WITH_ERRORS", "FAILED"),
        ("CANCELED", "CANCELED"),
        ("TIMED_OUT", "TIMED_OUT"),
    ],
)
def test_statuses_have_the_names_of_the_api(stored: str, shown: str) -> None:
    found = realtime.fields({**FIRST["value"], "status": stored})
    assert found["status"] == shown
    assert found["is_completed"] is (shown in ("FAILED", "CANCELED", "TIMED_OUT"))


async def test_a_batch_whose_items_could_not_be_triggered_ends_at_once() -> None:
    info = {
        "id": "batch_1",
        "status": "PARTIAL_FAILED",
        "createdAt": "2026-11-23T04:46:07Z",
        "updatedAt": "2026-11-23T04:46:07Z",
        "runCount": 1,
        "runs": [],
    }

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/realtime/v1/batches/batch_1":
            return rows([DONE], "0_0", electric_up_to_date="")
        return answer(info)

    Server(serve)
    assert [run async for run in runs.subscribe_to_batch("batch_1")] == []
