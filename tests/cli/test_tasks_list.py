"""`trigger tasks list`: from the running server, else from the project's files."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import RunCli, StubServer
from triggerdev import errors
from triggerdev.cli import indexing

CONFIG = 'project = "shop"\n'

TASK = {
    "id": "hello",
    "filePath": "trigger/hello.py",
    "line": 14,
    "exportName": "hello",
    "kind": "async",
    "triggerSource": "standard",
    "queue": {"name": "task/hello", "concurrencyLimit": 2},
    "retry": {"maxAttempts": 3, "minTimeoutInMs": 100},
    "maxDuration": 60,
    "ttl": "1h",
}
SCHEDULED = {
    "id": "daily",
    "filePath": "trigger/hello.py",
    "line": 20,
    "kind": "sync",
    "schedule": {"cron": "0 9 * * *", "timezone": "UTC"},
}


def test_the_running_server_is_asked_first(server: StubServer, cli: RunCli) -> None:
    server.answer("GET /api/v1/tasks", {"tasks": [TASK, SCHEDULED]})
    assert cli("tasks", "list").out.splitlines() == [
        "TASK   KIND   QUEUE OR SCHEDULE  DEFINED AT",
        "daily  sync   0 9 * * * (UTC)    trigger/hello.py:20",
        "hello  async  - (at most 2)      trigger/hello.py:14",
    ]


def test_json_has_the_names_that_a_manifest_has(server: StubServer, cli: RunCli) -> None:
    server.answer("GET /api/v1/tasks", {"tasks": [TASK]})
    assert cli("tasks", "list", "--json").json == {
        "source": "server",
        "tasks": [
            {
                "id": "hello",
                "file": "trigger/hello.py",
                "line": 14,
                "export": "hello",
                "kind": "async",
                "queue": {"name": "task/hello", "concurrency_limit": 2},
                "retry": {"max_attempts": 3, "min_timeout_in_ms": 100},
                "max_duration": 60,
                "ttl_ms": 3_600_000,
            }
        ],
    }


def test_without_a_server_the_files_are_imported(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trigger.config.toml").write_text(CONFIG)
    seen: list[Any] = []

    def index(loaded: Any) -> Any:
        seen.append(loaded.config.project)
        return {"tasks": [{"id": "hello", "kind": "async"}]}

    monkeypatch.setattr(indexing, "index", index)
    assert cli("tasks", "list", "--json").json["source"] == "files"
    assert seen == ["shop"]


def test_a_server_that_was_named_is_not_replaced_by_the_files(cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "trigger.config.toml").write_text(CONFIG)
    assert cli("tasks", "list", "--api-url", "http://127.0.0.1:1").code == 5


def test_a_project_that_cannot_be_imported_is_exit_code_one(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trigger.config.toml").write_text(CONFIG)

    def index(loaded: Any) -> Any:
        raise errors.BuildError("trigger/hello.py:3: SyntaxError: invalid syntax")

    monkeypatch.setattr(indexing, "index", index)
    result = cli("tasks", "list")
    assert (result.code, result.err) == (1, "error: trigger/hello.py:3: SyntaxError: invalid syntax\n")


def test_outside_of_a_project_it_says_what_is_missing(cli: RunCli) -> None:
    result = cli("tasks", "list")
    assert result.code == 2
    assert "no trigger.config.toml" in result.err
    assert "trigger init" in result.err
