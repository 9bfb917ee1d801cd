"""`trigger init` writes a project that loads, and never over anything."""

from pathlib import Path

import pytest

from tests.cli.support import RunCli
from triggerdev.cli import init
from triggerdev.config import load_config

TEMPLATES = {"hello": "hello.py", "schedule": "schedule.py", "fan-out": "fan_out.py"}


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_gives_a_valid_project(template: str, cli: RunCli, tmp_path: Path) -> None:
    result = cli("init", "My Shop", "--template", template, "--json")
    root = tmp_path / "My Shop"
    assert result.code == 0
    assert result.json["written"] == [
        "trigger.config.toml",
        f"trigger/{TEMPLATES[template]}",
        ".gitignore (.trigger/, .env.local)",
    ]
    assert result.json["next"][:2] == ["cd 'My Shop'", "trigger dev"]
    loaded = load_config(root, environ={})
    assert loaded.config.project == "my-shop"
    compile((root / "trigger" / TEMPLATES[template]).read_text(), "task", "exec")


def test_nothing_is_overwritten(cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "trigger.config.toml").write_text("project = 'mine'\n")
    (tmp_path / ".gitignore").write_text("*.log\n/.trigger")
    result = cli("init", "--yes")
    assert (tmp_path / "trigger.config.toml").read_text() == "project = 'mine'\n"
    assert (tmp_path / ".gitignore").read_text() == "*.log\n/.trigger\n.env.local\n"
    assert "kept  trigger.config.toml (it was there)" in result.out
    again = cli("init", "--yes", "--json").json
    assert (again["written"], len(again["kept"])) == ([], 3)
    assert (tmp_path / ".gitignore").read_text() == "*.log\n/.trigger\n.env.local\n"


def test_without_a_terminal_it_names_the_flag_instead_of_asking(cli: RunCli, tmp_path: Path) -> None:
    result = cli("init")
    assert result.code == 4
    assert "--template hello|schedule|fan-out" in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "template"),
    [(["3\n"], "fan-out"), (["\n"], "hello"), (["no\n", "9\n", "schedule\n"], "schedule")],
)
def test_on_a_terminal_it_asks_until_it_understands(
    typed: list[str], template: str, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(typed)
    monkeypatch.setattr(init, "_can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: next(lines))
    assert cli("init", "--json").json["template"] == template


def test_no_answer_writes_nothing(cli: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(init, "_can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "")
    assert cli("init").code == 130
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_named(cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "trigger").write_text("a file")
    result = cli("init", "--yes")
    assert result.code == 1
    assert "trigger" in result.err
    assert (tmp_path / "trigger").read_text() == "a file"
