"""`trigger schedules`: what it sends, prints and returns."""

from typing import Any

import pytest

from tests.cli.support import RunCli, StubServer

PATH = "/api/v1/schedules"


def schedule(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"sched_{name}",
        "type": "IMPERATIVE",
        "task": "report",
        "active": True,
        "deduplicationKey": None,
        "externalId": None,
        "generator": {"type": "CRON", "expression": "0 9 * * *", "description": ""},
        "timezone": "Europe/Paris",
        "nextRun": "2026-01-01T08:00:00.000Z",
        **more,
    }


def page(*schedules: dict[str, Any], pages: int = 1) -> dict[str, Any]:
    return {"data": list(schedules), "pagination": {"currentPage": 1, "totalPages": pages, "count": 9}}


@pytest.mark.parametrize("words", [["schedules"], ["schedules", "list"]])
def test_schedules_are_listed_over_all_pages(cli: RunCli, server: StubServer, words: list[str]) -> None:
    hostile = schedule("1", externalId="ada\x1b[31m", deduplicationKey="k")
    server.answer(f"GET {PATH}", page(hostile, pages=2), page(schedule("2", active=False)))
    result = cli(*words)
    head, first, second = result.out.splitlines()
    assert head.split()[:3] == ["SCHEDULE", "TASK", "CRON"]
    assert first.split()[:7] == ["sched_1", "report", "0", "9", "*", "*", "*"]
    assert "\x1b" not in result.out
    assert "imperative" in first
    assert "inactive" in second
    assert [request.query["page"] for request in server.requests] == ["1", "2"]
    assert cli(*words, "--json").json["schedules"][0]["id"] == "sched_2"


def test_without_schedules_it_says_how_to_make_one(cli: RunCli, server: StubServer) -> None:
    server.answer(f"GET {PATH}", page())
    result = cli("schedules")
    assert (result.code, result.out) == (0, "")
    assert "trigger schedules create" in result.err


def test_help_is_that_of_the_group(cli: RunCli) -> None:
    result = cli("schedules", "--help")
    assert result.code == 0
    assert "deactivate" in result.out


def test_a_schedule_is_created(cli: RunCli, server: StubServer) -> None:
    server.answer(f"POST {PATH}", schedule("1"))
    more = ["--timezone", "Europe/Paris", "--key", "k", "--external-id", "ada"]
    result = cli("schedules", "create", "report", "0 9 * * *", *more)
    assert (result.code, result.out) == (0, "sched_1\n")
    assert "2026-01-01T08:00" in result.err
    (request,) = server.requests
    assert request.body == {
        "task": "report",
        "cron": "0 9 * * *",
        "timezone": "Europe/Paris",
        "deduplicationKey": "k",
        "externalId": "ada",
    }


def test_a_refused_schedule_is_an_error(cli: RunCli, server: StubServer) -> None:
    server.answer(f"POST {PATH}", {"error": "Invalid cron expression: 'x'"}, status=422)
    result = cli("schedules", "create", "report", "x")
    assert result.code != 0
    assert "Invalid cron expression: 'x'" in result.err


@pytest.mark.parametrize(
    ("action", "method", "suffix"),
    [("activate", "POST", "/activate"), ("deactivate", "POST", "/deactivate"), ("delete", "DELETE", "")],
)
def test_schedules_are_changed_one_by_one(
    cli: RunCli, server: StubServer, action: str, method: str, suffix: str
) -> None:
    server.answer(f"{method} {PATH}/sched_1{suffix}", schedule("1"))
    server.answer(f"{method} {PATH}/sched_2{suffix}", {"error": "Schedule not found"}, status=404)
    result = cli("schedules", action, "sched_2", "sched_1", "sched_1", "--json")
    assert result.code == 1
    assert result.json == {
        "changed": ["sched_1"],
        "failed": [{"id": "sched_2", "error": "Schedule not found"}],
    }
    assert "sched_2: Schedule not found" in result.err
