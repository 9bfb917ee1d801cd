"""`trigger config`, as a user types it."""

import json
from pathlib import Path

import jsonschema
import pytest

from triggerdev.cli.main import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooks.py").write_text("def on_start(): ...\n")
    (tmp_path / "trigger.config.toml").write_text(
        'project = "p"\nhooks.on_start = "hooks:on_start"\n[env.prod]\nlog_level = "warn"\n'
    )
    return tmp_path


def test_check_says_that_all_is_well(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 0
    assert "no mistakes (environment dev)" in capsys.readouterr().out


def test_check_imports_references_unless_told_not_to(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "hooks.py").write_text("def on_strat(): ...\n")
    assert main(["config", "check", "--no-imports"]) == 0
    assert main(["config", "check"]) == 2
    assert capsys.readouterr().err == (
        "error: `hooks` has no `on_start`\n"
        " --> trigger.config.toml:2:18\n"
        "  |\n"
        '2 | hooks.on_start = "hooks:on_start"\n'
        "  |                  ^^^^^^^^^^^^^^^^\n"
        "  = help: did you mean `on_strat`?\n"
    )


def test_check_tells_unknown_extensions(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "trigger.config.toml").write_text(
        'project = "p"\n[build.extensions]\nplaywrite = {}\nffmpeg = {}\nx = { use = "aptget" }\ny = false\n'
    )
    assert main(["config", "check"]) == 2
    told = capsys.readouterr().err
    assert "there is no extension `playwrite`\n --> trigger.config.toml:3:1\n" in told
    assert "did you mean `playwright`?" in told
    assert "there is no extension `aptget`\n --> trigger.config.toml:5:13\n" in told
    assert told.startswith("error: 2 mistakes in trigger.config.toml")


def test_check_as_json_is_one_object_also_when_it_fails(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "trigger.config.toml").write_text("project = 3\nx = 1\n")
    assert main(["config", "check", "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [(one["line"], one["column"], one["message"]) for one in answer["errors"]] == [
        (1, 11, "expected a string, got a whole number"),
        (2, 1, "unknown key `x`"),
    ]


def test_show_tells_values_and_origins(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--env", "prod"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["log_level", '"warn"', "env", "override:", "[env.prod]", "at", "trigger.config.toml:4"] in lines
    assert ["hooks.on_start", '["hooks:on_start"]', "file:", "trigger.config.toml:2"] in lines
    assert ["runtime", '"python"', "default"] in lines


def test_show_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["environment"] == "dev"
    assert answer["settings"]["project"] == {
        "value": "p",
        "origin": "file",
        "where": "trigger.config.toml:1",
    }


def test_schema_goes_to_stdout_or_to_a_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.Draft7Validator.check_schema(printed)
    assert main(["config", "schema", "--output", "schema.json"]) == 0
    assert json.loads((project / "schema.json").read_text()) == printed
    assert "#:schema ./schema.json" in capsys.readouterr().out
    assert main(["config", "schema", "--output", "no/such/folder.json"]) == 1
