"""`trigger doctor`: one line for each check, exit 1 when one failed, and nothing is changed by looking."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import RunCli
from triggerdev import errors
from triggerdev.cli import checks, indexing
from triggerdev.worker.indexing import ProblemsFound

MANIFEST: Any = {"tasks": [{"id": "a"}, {"id": "b"}], "files": ["trigger/x.py"], "threads": []}


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no docker or node be found, unless a test wants one."""
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "trigger.config.toml").write_text('project = "shop"\n')
    monkeypatch.setattr(indexing, "index", lambda loaded: MANIFEST)
    return tmp_path


def status_of(result: Any) -> dict[str, str]:
    return {check["name"]: check["status"] for check in result.json["checks"]}


def test_a_sound_project_passes(project: Path, cli: RunCli) -> None:
    before = sorted(project.rglob("*"))
    result = cli("doctor", "--json")
    found = status_of(result)
    assert result.code == 0
    assert result.json["ok"] is True
    assert {found[name] for name in ("python", "config", "interpreter", "tasks", "folder")} == {"ok"}
    assert {found[name] for name in ("containers", "node")} == {"note"}
    assert sorted(project.rglob("*")) == before


def test_each_check_is_one_line_with_its_advice(project: Path, cli: RunCli) -> None:
    lines = cli("doctor").out.splitlines()
    assert lines[3] == "ok    tasks        2 tasks in 1 file"
    assert lines[-1] == "note  node         no Node.js -> only tasks in JavaScript or TypeScript need it"


def test_outside_of_a_project_the_machine_is_checked(cli: RunCli) -> None:
    result = cli("doctor", "--json")
    assert (result.code, status_of(result)["config"]) == (0, "warn")


def test_a_config_with_a_mistake_fails(project: Path, cli: RunCli) -> None:
    (project / "trigger.config.toml").write_text("project = 1\n")
    result = cli("doctor")
    assert result.code == 1
    assert "`trigger config check` shows it all" in result.out


def test_every_problem_of_a_task_file_is_a_line(
    project: Path, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def index(loaded: Any) -> Any:
        raise ProblemsFound(
            [
                {"file": "trigger/a.py", "line": 3, "message": "SyntaxError: x\nmore"},
                {"file": "trigger/b.py", "line": 1, "message": "ImportError: y"},
            ]
        )

    monkeypatch.setattr(indexing, "index", index)
    result = cli("doctor")
    assert result.code == 1
    assert "fail  tasks        trigger/a.py:3: SyntaxError: x -> " in result.out
    assert "fail  tasks        trigger/b.py:1: ImportError: y -> " in result.out


def test_an_interpreter_without_the_package_fails_and_tasks_are_not_tried(
    project: Path, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triggerdev.worker import interpreter

    def refuse(found: Path) -> None:
        raise errors.EnvironmentProblemError("it has no triggerdev")

    monkeypatch.setattr(interpreter, "check_interpreter", refuse)
    found = status_of(cli("doctor", "--json"))
    assert found["interpreter"] == "fail"
    assert "tasks" not in found


def test_no_tasks_and_threads_at_import_are_warnings(
    project: Path, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "index", lambda loaded: {"tasks": [], "files": [], "threads": ["noisy"]})
    result = cli("doctor", "--json")
    assert (result.code, status_of(result)["tasks"], status_of(result)["threads"]) == (0, "warn", "warn")


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / ".trigger").write_text("a file")
    assert checks.state_folder(tmp_path).status == "fail"


@pytest.mark.parametrize(("free", "status"), [(10, "fail"), (500_000_000, "warn"), (50_000_000_000, "ok")])
def test_space_on_the_disk(free: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert checks.disk(tmp_path).status == status


def test_a_taken_port_is_a_warning_unless_this_project_holds_it(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        number = holder.getsockname()[1]
        assert checks.port(tmp_path, number).status == "warn"
        (tmp_path / ".trigger").mkdir()
        (tmp_path / ".trigger" / "dev.env").write_text(f"TRIGGER_API_URL=http://127.0.0.1:{number}\n")
        assert checks.port(tmp_path, number).status == "ok"


def test_low_limits_for_watching_are_named(tmp_path: Path) -> None:
    (tmp_path / "max_user_watches").write_text("100\n")
    (tmp_path / "max_user_instances").write_text("128\n")
    (check,) = checks.watching(tmp_path)
    assert check.status == "warn"
    assert "fs.inotify.max_user_watches" in check.advice
    assert checks.watching(tmp_path / "none") == []


def test_a_container_engine_that_does_not_answer_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {"docker": "exit 1", "podman": "echo 5.4.0"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "docker" else None)
    assert checks.containers().status == "note"
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "podman" else None)
    assert checks.containers().message == "podman 5.4.0"


def test_a_check_that_breaks_is_a_failed_one(cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(root: Path) -> checks.Check:
        raise OSError("no such device")

    monkeypatch.setattr(checks, "disk", broken)
    result = cli("doctor", "--json")
    assert (result.code, status_of(result)["disk"]) == (1, "fail")
