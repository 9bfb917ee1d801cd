"""The program of an image: it indexes, it serves until it is told to stop, and it says how it is."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.worker.conftest import Project
from triggerdev import errors
from triggerdev.worker.deployed import code, health
from triggerdev.worker.deployed.service import Service

TASK = """\
from triggerdev import task

print("hello from the import")


@task
async def first(payload):
    return 1
"""
SETTINGS: dict[str, object] = {
    "dirs": ["./trigger"],
    "ignore": [],
    "hooks": {},
    "init": None,
    "log_level": "info",
}
SERVER = {"TRIGGER_API_URL": "https://trigger.example.com", "TRIGGER_SECRET_KEY": "tr_prod_0123456789"}
COMMAND = (sys.executable, "-m", "triggerdev.worker")


@pytest.fixture
def app(project: Project) -> Path:
    """A project's folder as it is in an image."""
    return project({"trigger/a.py": TASK, code.SETTINGS: json.dumps(SETTINGS)})


@pytest.fixture
def environ(app: Path, tmp_path: Path) -> dict[str, str]:
    places = {"TRIGGER_APP_DIR": str(app), health.FOLDER_VARIABLE: str(tmp_path)}
    return {"PATH": os.environ["PATH"], **places, **SERVER}


@pytest.fixture
def run(environ: dict[str, str]) -> Any:
    def run(command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, command], env={**environ, **changes}, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.fixture
def started(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A worker that has said that it is ready."""
    with subprocess.Popen([*COMMAND, "start"], env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            wait_for(process.stderr, "ready with 1 task")
            yield process
        finally:
            process.kill()


def wait_for(stream: IO[str], text: str) -> None:
    for line in stream:
        if text in line:
            return
    pytest.fail(f"the worker has ended without saying {text!r}")


def test_the_index_is_the_only_thing_on_stdout_and_needs_no_server(run: Any) -> None:
    done = run("index", TRIGGER_API_URL="", TRIGGER_SECRET_KEY="")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["problems"]) == (0, [])
    assert [task["id"] for task in answer["manifest"]["tasks"]] == ["first"]
    assert "hello from the import" in done.stderr


def test_problems_of_the_code_are_part_of_the_index(run: Any, app: Path) -> None:
    (app / "trigger" / "b.py").write_text("import nothing_of_that_name\n")
    (problem,) = json.loads(run("index").stdout)["problems"]
    assert "nothing_of_that_name" in problem["message"]


def test_a_started_worker_is_healthy_until_it_is_told_to_stop(
    started: subprocess.Popen[str], run: Any
) -> None:
    assert run("health").returncode == 0
    started.send_signal(signal.SIGTERM)
    assert started.wait(30) == 0
    after = run("health")
    assert (after.returncode, "no worker has started here" in after.stderr) == (1, True)


def test_a_worker_that_gives_no_sign_of_life_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(health.FOLDER_VARIABLE, str(tmp_path))
    health.write_state("ready")
    assert health.problem() is None
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert health.problem() == "the worker has given no sign of life for 60 s"


def test_a_worker_that_still_loads_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(health.FOLDER_VARIABLE, str(tmp_path))
    health.write_state("starting")
    assert health.problem() == "the worker is starting"


@pytest.mark.parametrize("name", sorted(SERVER))
def test_without_a_server_and_its_key_a_worker_refuses_to_start(run: Any, name: str) -> None:
    done = run("start", **{name: " "})
    assert done.returncode == 2
    assert f"{name} must be set" in done.stderr
    assert SERVER["TRIGGER_SECRET_KEY"] not in done.stderr


def test_a_url_that_is_none_is_refused(run: Any) -> None:
    done = run("start", TRIGGER_API_URL="trigger.example.com")
    assert (done.returncode, "must begin with http:// or https://" in done.stderr) == (2, True)


@pytest.mark.parametrize("grace", ["soon", "-1", "nan"])
def test_a_grace_that_is_no_time_is_refused(grace: str) -> None:
    with pytest.raises(errors.UsageError, match="TRIGGER_STOP_GRACE must be a number of seconds"):
        Service({"root": "/app"}, {**SERVER, "TRIGGER_STOP_GRACE": grace})


def test_code_that_is_not_what_was_indexed_is_refused(run: Any) -> None:
    done = run("start", **{code.HASH_VARIABLE: "0" * 64})
    assert (done.returncode, "is not what was indexed" in done.stderr) == (1, True)


def test_code_that_was_indexed_starts(run: Any, environ: dict[str, str]) -> None:
    manifest = json.loads(run("index").stdout)["manifest"]
    expected = {code.HASH_VARIABLE: code.manifest_hash(manifest)}
    with subprocess.Popen([*COMMAND], env=environ | expected, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        wait_for(process.stderr, "ready with 1 task")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_code_that_cannot_be_imported_ends_the_worker_with_its_place(run: Any, app: Path) -> None:
    (app / "trigger" / "a.py").write_text("import nothing_of_that_name\n")
    done = run("start")
    assert done.returncode == 1
    assert "trigger/a.py:1: " in done.stderr


def test_the_hash_says_what_tasks_there_are_and_not_what_libraries_make_of_them(run: Any) -> None:
    manifest = json.loads(run("index").stdout)["manifest"]
    before = code.manifest_hash(manifest)
    manifest["tasks"][0]["payload_schema"] = {"type": "string"}
    assert code.manifest_hash(manifest) == before
    manifest["tasks"][0]["machine"] = "large-1x"
    assert code.manifest_hash(manifest) != before


def test_a_folder_that_no_build_has_made_is_refused(run: Any, tmp_path: Path) -> None:
    done = run("index", TRIGGER_APP_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "is for images that `trigger deploy` has built" in done.stderr


def test_an_unknown_command_shows_the_known_ones(run: Any) -> None:
    done = run("dance")
    assert (done.returncode, "[start | index | health]" in done.stderr) == (2, True)
