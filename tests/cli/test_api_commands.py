"""Commands that talk to a server: what they send, print and return."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import KEY, RunCli, StubServer
from triggerdev.cli import waiting

RUN = "run_1"
TRIGGER = "POST /api/v1/tasks/hello/trigger"
GET_RUN = f"GET /api/v3/runs/{RUN}"
EVENTS = f"GET /api/v1/runs/{RUN}/events"


def run_object(status: str, **more: Any) -> dict[str, Any]:
    final = status in ("COMPLETED", "FAILED", "CANCELED")
    return {
        "id": RUN,
        "taskIdentifier": "hello",
        "status": status,
        "isCompleted": final,
        "isSuccess": status == "COMPLETED",
        "createdAt": "2025-01-01T00:00:00.000Z",
        "finishedAt": "2025-01-01T00:00:00.034Z" if final else None,
        "attemptCount": 1,
        "tags": ["a", "b"],
        "rev": 1,
        **more,
    }


_STACK = """Traceback (most recent call last):
  File "trigger/hello.py", line 7, in hello
    raise ValueError("boom")
"""
FAILED = run_object(
    "FAILED",
    error={
        "name": "ValueError",
        "message": "boom",
        "stackTrace": _STACK,
    },
)


# -- triggering ---------------------------------------------------------------
def test_trigger_sends_payload_and_options(server: StubServer, cli: RunCli) -> None:
    server.answer(TRIGGER, {"id": RUN})
    result = cli(
        *("tasks", "trigger", "hello", "--payload", '{"n": 1}', "--delay", "30s", "--ttl", "1h"),
        *("--tag", "x", "--tag", "y", "--queue", "q", "--max-attempts", "3", "--idempotency-key", "once"),
    )
    assert (result.code, result.out) == (0, f"{RUN}\n")
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "payload": '{"n": 1}',
        "options": {
            "payloadType": "application/json",
            "delay": "30s",
            "ttl": "1h",
            "tags": ["x", "y"],
            "queue": {"name": "q"},
            "maxAttempts": 3,
            "idempotencyKey": hashlib.sha256(b"once").hexdigest(),
            "idempotencyKeyOptions": {"key": "once", "scope": "run"},
        },
    }


def test_run_is_the_short_form(server: StubServer, cli: RunCli) -> None:
    server.answer(TRIGGER, {"id": RUN, "isCached": False})
    assert cli("run", "hello", "--json").json == {"id": RUN, "isCached": False}
    assert server.requests[0].body == {"options": {}}


def test_a_task_id_cannot_leave_its_place_in_the_url(server: StubServer, cli: RunCli) -> None:
    assert cli("run", "../../x?y").code == 1
    assert server.requests[0].path == "/api/v1/tasks/..%2F..%2Fx%3Fy/trigger"


def test_wait_prints_the_output_and_nothing_else_on_stdout(server: StubServer, cli: RunCli) -> None:
    server.answer(TRIGGER, {"id": RUN})
    server.answer(GET_RUN, run_object("EXECUTING"), run_object("COMPLETED", output={"ok": [1, 2]}))
    result = cli("run", "hello", "--wait")
    assert (result.code, result.out) == (0, '{"ok":[1,2]}\n')
    assert "completed in 34ms" in result.err
    assert server.requests[-1].query == {"wait": "20", "since": "1"}


def test_a_failed_run_is_exit_code_one_with_the_users_line(server: StubServer, cli: RunCli) -> None:
    server.answer(TRIGGER, {"id": RUN})
    server.answer(GET_RUN, FAILED)
    result = cli("run", "hello", "--wait")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        f"hello ({RUN}) failed after 34ms",
        "ValueError: boom",
        "at trigger/hello.py:7 in hello",
        '    raise ValueError("boom")',
    ]
    assert cli("run", "hello", "--wait", "--json").json["error"]["message"] == "boom"


def test_when_the_time_is_up_the_run_goes_on(server: StubServer, cli: RunCli) -> None:
    server.answer(TRIGGER, {"id": RUN})
    server.answer(GET_RUN, run_object("EXECUTING"))
    result = cli("run", "hello", "--timeout", "0")
    assert result.code == 1
    assert "is still executing; it goes on" in result.err


def test_a_server_without_the_long_poll_is_asked_once_a_second() -> None:
    answers = [run_object("EXECUTING"), run_object("EXECUTING"), run_object("COMPLETED")]
    for answer in answers:
        del answer["rev"]
    pauses: list[float] = []

    class OldApi:
        def run(self, run: str) -> dict[str, Any]:
            return answers.pop(0)

    ended = waiting.wait_for_run(OldApi(), RUN, None, lambda: 0.0, pauses.append)  # type: ignore[arg-type]  # a stand-in
    assert ended["status"] == "COMPLETED"
    assert pauses == [1.0, 1.0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--payload", "{"),
        ("--metadata", "[]"),
        ("--timeout", "soon"),
        ("--max-attempts", "0"),
        ("--payload", "1", "--payload-file", "x"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    arguments: tuple[str, ...], server: StubServer, cli: RunCli
) -> None:
    assert cli("run", "hello", *arguments).code == 2
    assert server.requests == []


def test_an_unknown_task_is_reported_in_the_servers_words(server: StubServer, cli: RunCli) -> None:
    server.answer(
        "POST /api/v1/tasks/helo/trigger",
        {"error": "Task 'helo' not found. Did you mean 'hello'?"},
        status=404,
    )
    result = cli("run", "helo")
    assert (result.code, result.err) == (1, "error: 404 Task 'helo' not found. Did you mean 'hello'?\n")


# -- runs ---------------------------------------------------------------------
def test_runs_list_shows_a_table(server: StubServer, cli: RunCli) -> None:
    server.answer("GET /api/v1/runs", {"data": [run_object("COMPLETED")], "pagination": {}})
    assert cli("runs", "list").out.splitlines() == [
        "RUN    TASK   STATUS     CREATED              TOOK  TAGS",
        "run_1  hello  completed  2025-01-01 00:00:00  34ms  a, b",
    ]


def test_runs_list_turns_pages_up_to_its_limit_and_filters(server: StubServer, cli: RunCli) -> None:
    rows = [run_object("FAILED", id=f"run_{n}") for n in range(130)]
    server.answer(
        "GET /api/v1/runs",
        {"data": rows[:100], "pagination": {"next": "c1"}},
        {"data": rows[100:], "pagination": {"next": "c2"}},
    )
    result = cli(
        *("runs", "list", "--limit", "120", "--status", "failed", "--status", "timed out"),
        *("--task", "hello", "--tag", "x", "--queue", "q", "--since", "2025-01-01", "--json"),
        *("--version", "20250101.1", "--machine", "micro", "--batch", "batch_1", "--schedule", "sched_1"),
        *("--no-test", "--until", "2025-01-02"),
    )
    assert [run["id"] for run in result.json["runs"]] == [f"run_{n}" for n in range(120)]
    first, second = server.requests
    assert first.query == {
        "filter[status]": "FAILED,TIMED_OUT",
        "filter[taskIdentifier]": "hello",
        "filter[tag]": "x",
        "filter[queue]": "q",
        "filter[version]": "20250101.1",
        "filter[machine]": "micro",
        "filter[batch]": "batch_1",
        "filter[schedule]": "sched_1",
        "filter[isTest]": "false",
        "filter[createdAt][from]": "1735689600000",
        "filter[createdAt][to]": "1735776000000",
        "page[size]": "100",
    }
    assert (second.query["page[after]"], second.query["page[size]"]) == ("c1", "20")


def test_a_mistyped_status_is_answered_with_the_nearest_one(server: StubServer, cli: RunCli) -> None:
    result = cli("runs", "list", "--status", "complete")
    assert result.code == 2
    assert "Did you mean completed?" in result.err


def test_runs_get_shows_fields_and_error(server: StubServer, cli: RunCli) -> None:
    server.answer(GET_RUN, {**FAILED, "payload": {"n": "\x1b[31m"}})
    out = cli("runs", "get", RUN).out
    assert "status    failed\n" in out
    assert 'payload   {"n":"\\u001b[31m"}\n' in out
    assert "\nValueError: boom\nat trigger/hello.py:7 in hello\n" in out
    assert cli("runs", "get", RUN, "--json").json["id"] == RUN


def test_runs_logs_prints_everything_so_far(server: StubServer, cli: RunCli) -> None:
    first = {"seq": 1, "at": 1735689600000, "attempt": 1, "stream": "stdout", "message": "hi \x07[b]"}
    second = {
        **first,
        "seq": 2,
        "stream": "log",
        "level": "warn",
        "message": "careful",
        "properties": {"n": 1},
    }
    server.answer(EVENTS, {"events": [first]}, {"events": [second]}, {"events": []})
    assert cli("runs", "logs", RUN).out.splitlines() == [
        "00:00:00.000  #1  | hi \\x07[b]",
        '00:00:00.000  #1  | warn: careful {"n":1}',
    ]
    assert [request.query["after"] for request in server.requests] == ["0", "1", "2"]


def test_runs_logs_as_json_is_one_object_and_followed_one_a_line(server: StubServer, cli: RunCli) -> None:
    event = {"seq": 1, "at": 1735689600000, "attempt": 1, "stream": "stdout", "message": "hi"}
    server.answer(EVENTS, {"events": [event]}, {"events": []})
    assert cli("runs", "logs", RUN, "--json").json == {"run": RUN, "events": [event]}
    server.answers.clear()
    later = {**event, "seq": 2}
    server.answer(
        EVENTS,
        {"events": [event], "isCompleted": False},
        {"events": [], "isCompleted": False},
        {"events": [later], "isCompleted": True},
        {"events": [], "isCompleted": True},
    )
    followed = cli("runs", "logs", RUN, "--follow", "--json")
    assert [json.loads(line)["seq"] for line in followed.out.splitlines()] == [1, 2]
    assert server.requests[-1].query == {"after": "2", "wait": "20"}


def test_cancel_tells_which_could_not_be_canceled(server: StubServer, cli: RunCli) -> None:
    server.answer("POST /api/v2/runs/run_a/cancel", {"id": "run_a"})
    result = cli("runs", "cancel", "run_a", "run_b", "--json")
    assert result.code == 1
    assert result.json == {"canceled": ["run_a"], "failed": [{"id": "run_b", "error": "Not found"}]}


def test_replay_prints_the_new_run(server: StubServer, cli: RunCli) -> None:
    server.answer(f"POST /api/v1/runs/{RUN}/replay", {"id": "run_2"})
    assert cli("runs", "replay", RUN).out == "run_2\n"


# -- which server, which key --------------------------------------------------
def test_without_a_server_it_says_how_to_start_one(cli: RunCli) -> None:
    result = cli("runs", "list")
    assert result.code == 5
    assert "start `trigger dev`" in result.err


def test_the_project_is_found_from_a_folder_below(
    server: StubServer, cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer("GET /api/v1/runs", {"data": [], "pagination": {}})
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert cli("runs", "list").code == 0


def test_the_environment_wins_over_the_dev_server(
    server: StubServer, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer("GET /api/v1/runs", {"data": [], "pagination": {}})
    (Path(".trigger") / "dev.env").write_text(
        "TRIGGER_API_URL=http://127.0.0.1:1\nTRIGGER_SECRET_KEY=other\n"
    )
    assert cli("runs", "list").code == 5
    monkeypatch.setenv("TRIGGER_API_URL", server.url)
    monkeypatch.setenv("TRIGGER_SECRET_KEY", KEY)
    assert cli("runs", "list").code == 0


def test_a_wrong_key_is_exit_code_three(
    server: StubServer, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_SECRET_KEY", "tr_dev_wrong")
    result = cli("runs", "list", "--api-url", server.url)
    assert result.code == 3
    assert "Invalid or Missing API key" in result.err
    assert "Check TRIGGER_SECRET_KEY" in result.err
    assert "tr_dev_wrong" not in result.err


def test_the_dev_key_is_not_sent_to_another_machine(server: StubServer, tmp_path: Path) -> None:
    from triggerdev.cli.project import find_server

    assert find_server("https://example.com").key is None
    assert find_server(server.url).key == KEY
    assert KEY not in repr(find_server(server.url))


@pytest.mark.parametrize("url", ["example.com", "ftp://x", "http://"])
def test_a_url_that_is_none_is_a_usage_error(url: str, cli: RunCli) -> None:
    assert cli("runs", "list", "--api-url", url).code == 2


def test_an_answer_that_is_no_json_is_no_trigger_server(server: StubServer, cli: RunCli) -> None:
    server.answer("GET /api/v1/runs", b"<html>hello</html>")
    result = cli("runs", "list")
    assert result.code == 5
    assert "Is the URL right?" in result.err
