"""`trigger queues`: what it sends, prints and returns."""

from typing import Any

import pytest

from tests.cli.support import RunCli, StubServer

PATH = "/api/v1/queues"


def queue(name: str = "emails", **fields: Any) -> dict[str, Any]:
    return {
        "id": "queue_1",
        "name": name,
        "type": "custom",
        "running": 2,
        "queued": 40,
        "paused": False,
        "concurrencyLimit": 2,
        "concurrency": {"current": 2, "base": 2, "override": None},
        **fields,
    }


def page(*queues: dict[str, Any], pages: int = 1, limit: int | None = None) -> dict[str, Any]:
    return {
        "data": list(queues),
        "pagination": {"currentPage": 1, "totalPages": pages, "count": 9},
        "environment": {"running": 3, "queued": 41, "concurrencyLimit": limit},
    }


@pytest.mark.parametrize("words", [["queues"], ["queues", "list"]])
def test_queues_are_listed_over_all_pages(cli: RunCli, server: StubServer, words: list[str]) -> None:
    overridden = {"current": 1, "base": 5, "override": 1}
    server.answer(
        f"GET {PATH}",
        page(queue(), pages=2),
        page(
            queue("send-email", type="task", running=1, queued=1, paused=True, concurrencyLimit=None), pages=2
        ),
    )
    result = cli(*words)
    assert result.code == 0
    assert result.out.splitlines() == [
        "QUEUE            RUNNING  QUEUED  LIMIT  PAUSED",
        "emails           2        40      2",
        "task/send-email  1        1       -      paused",
        "all: 3 running, 41 queued",
    ]
    server.answers.clear()
    server.answer(f"GET {PATH}", page(queue(concurrencyLimit=1, concurrency=overridden), limit=25))
    assert "1 (declared: 5)" in cli(*words).out
    assert "all: 3 of 25 running, 41 queued" in cli(*words).out
    assert cli(*words, "--json").json["environment"]["concurrencyLimit"] == 25


def test_without_queues_it_says_where_they_come_from(cli: RunCli, server: StubServer) -> None:
    server.answer(f"GET {PATH}", page())
    result = cli("queues")
    assert (result.code, result.out) == (0, "")
    assert "no queues" in result.err


def test_the_names_of_queues_are_hostile_text(cli: RunCli, server: StubServer) -> None:
    server.answer(f"GET {PATH}", page(queue("\x1b[31mred")))
    assert "\x1b[31mred" not in cli("queues").out


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_queues_are_paused_one_by_one(cli: RunCli, server: StubServer, action: str) -> None:
    server.answer(f"POST {PATH}/emails/pause", queue(paused=action == "pause"))
    server.answer(f"POST {PATH}/nope/pause", {"error": "Queue not found"}, status=404)
    result = cli("queues", action, "emails", "nope", "emails", "--json")
    assert result.code == 1
    assert [request.body for request in server.requests] == [{"type": "custom", "action": action}] * 2
    assert result.json["failed"] == [{"queue": "nope", "error": "Queue not found"}]
    assert [each["name"] for each in result.json["changed"]] == ["emails"]
    shown = cli("queues", action, "emails")
    assert shown.code == 0
    assert shown.out.startswith(f"emails {'paused' if action == 'pause' else 'goes on'}, 40 queued")


def test_a_task_s_own_queue_has_a_slash(cli: RunCli, server: StubServer) -> None:
    server.answer(f"POST {PATH}/task%2Fsend/pause", queue("send", type="task"))
    assert cli("queues", "resume", "task/send").out.startswith("task/send goes on")


def test_a_limit_is_overridden_and_reset(cli: RunCli, server: StubServer) -> None:
    overridden = {"current": 9, "base": 2, "override": 9}
    server.answer(
        f"POST {PATH}/emails/concurrency/override", queue(concurrencyLimit=9, concurrency=overridden)
    )
    server.answer(f"POST {PATH}/emails/concurrency/reset", queue())
    assert cli("queues", "limit", "emails", "9").out == "emails: 9 (declared: 2)\n"
    assert cli("queues", "limit", "emails", "reset").out == "emails: 2\n"
    assert cli("queues", "limit", "emails", "9", "--json").json["concurrencyLimit"] == 9
    assert server.requests[0].body == {"type": "custom", "concurrencyLimit": 9}


@pytest.mark.parametrize("number", ["x", "1.5", "100001", "", "٣"])
def test_a_limit_that_is_none_is_refused_before_it_is_sent(
    cli: RunCli, server: StubServer, number: str
) -> None:
    result = cli("queues", "limit", "emails", number)
    assert result.code == 2
    assert "reset" in result.err
    assert server.requests == []


def test_a_negative_limit_is_refused(cli: RunCli, server: StubServer) -> None:
    assert cli("queues", "limit", "emails", "--", "-1").code == 2
    assert server.requests == []


def test_an_unknown_queue_says_where_to_look(cli: RunCli, server: StubServer) -> None:
    server.answer(f"POST {PATH}/nope/concurrency/reset", {"error": "Queue not found"}, status=404)
    result = cli("queues", "limit", "nope", "reset")
    assert result.code == 1
    assert "Queue not found" in result.err
    assert "`trigger queues`" in result.err
