"""The starter projects and the quickstart, imported as `trigger dev` imports them."""

from pathlib import Path

import pytest

from tests.cli.support import RunCli

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"

TASKS = {
    "hello": ["hello"],
    "schedule": ["every-minute"],
    "fan-out": ["count-words", "fan-out"],
}


@pytest.mark.parametrize("template", TASKS)
def test_the_tasks_of_a_starter_project_are_found(template: str, cli: RunCli) -> None:
    assert cli("init", "--template", template).code == 0
    listed = cli("tasks", "list", "--json")
    assert (listed.code, listed.err) == (0, "")
    assert sorted(task["id"] for task in listed.json["tasks"]) == TASKS[template]


def test_the_tasks_of_the_quickstart_are_found(cli: RunCli) -> None:
    listed = cli("tasks", "list", "--config", str(QUICKSTART / "trigger.config.toml"), "--json")
    tasks = {task["id"]: task for task in listed.json["tasks"]}
    assert sorted(tasks) == ["greet-all", "hello", "morning"]
    assert tasks["morning"]["schedule"] == {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}


def test_a_mistake_in_a_task_file_is_reported_with_its_line(cli: RunCli, tmp_path: Path) -> None:
    assert cli("init", "--yes").code == 0
    (tmp_path / "trigger" / "hello.py").write_text("x = 1\ndef f(:\n")
    listed = cli("tasks", "list")
    assert listed.code == 1
    assert "trigger/hello.py:2: " in listed.err
    checked = cli("doctor")
    assert checked.code == 1
    assert "fail  tasks        trigger/hello.py:2: " in checked.out
