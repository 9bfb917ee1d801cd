"""What goes wrong, with a clear message and nothing lost."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dev.kit import PATIENCE, clean_environment, start
from tests.dev.test_reload import CONFIG, RUNNING, _project


def _dev(
    project: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `trigger dev` where it is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "triggerdev", "dev", str(project), *arguments],
        env=clean_environment(env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


async def test_an_unknown_task_names_the_nearest(tmp_path: Path) -> None:
    async with start(_project(tmp_path / "p")) as dev:
        http = dev.api().http
        answer = await http.post("/api/v1/tasks/editoin/trigger", json={"payload": {}})
        assert answer.status_code == 404
        assert "'edition'" in answer.json()["error"]
        assert (await http.post("/api/v1/tasks/edition/trigger", content="{no json")).status_code == 400
        large = {"payload": "x" * 3_200_000}
        assert (await http.post("/api/v1/tasks/edition/trigger", json=large)).status_code == 413
        http.headers["Authorization"] = "Bearer tr_dev_wrong"
        assert (await http.get("/api/v1/runs")).status_code == 401


def test_a_malformed_config_ends_with_two(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    (project / "trigger.config.toml").write_text(CONFIG + 'log_levle = "info"\nmax_duration = "soon"\n')
    ended = _dev(project)
    assert ended.returncode == 2
    assert "trigger.config.toml:2:1" in ended.stderr
    assert "log_level" in ended.stderr
    assert "trigger.config.toml:3:16" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_config_names_init(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = _dev(tmp_path / "empty")
    assert ended.returncode == 2
    assert "trigger init" in ended.stderr


async def test_no_tasks_is_said_and_a_first_one_is_picked_up(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    file = project / "trigger" / "tasks.py"
    source = file.read_text()
    file.write_text("")
    async with start(project, ready=False) as dev:
        failed = await dev.line("load_failed")
        assert "no tasks found in ./trigger" in failed["problems"][0]["message"]
        file.write_text(source)
        await dev.ready()
        assert await dev.api().output("edition") == 0


def test_a_given_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = _dev(_project(tmp_path / "p"), "--port", str(port))
    assert ended.returncode == 1
    assert f"Port {port}" in ended.stderr
    assert str(os.getpid()) in ended.stderr


async def test_a_second_dev_names_the_first(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    async with start(project) as dev:
        ended = await asyncio.to_thread(_dev, project)
        assert ended.returncode == 1
        assert str(dev.process.pid) in ended.stderr
        assert await dev.api().output("edition") == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    project.chmod(0o555)
    ended = _dev(project) if os.geteuid() else _dev_on_read_only_mount(project)
    project.chmod(0o755)
    assert ended.returncode == 1
    assert f"Cannot write {project / '.trigger'}" in ended.stderr
    assert "Traceback" not in ended.stderr


def _dev_on_read_only_mount(project: Path) -> subprocess.CompletedProcess[str]:
    """Root writes everywhere but to a file system that is mounted read-only."""
    mount = (
        'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99; exec "$2" -m triggerdev dev "$1"'
    )
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, "sh", str(project), sys.executable],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if ended.returncode == 99 or "unshare:" in ended.stderr:
        pytest.skip(f"root that may not mount cannot have a read-only folder: {ended.stderr}")
    return ended


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    (project / ".trigger").write_text("in the way")
    ended = _dev(project)
    assert ended.returncode == 1
    assert ".trigger" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_another_kind_of_key_is_ignored_with_a_warning(tmp_path: Path) -> None:
    env = {"TRIGGER_SECRET_KEY": "tr_prod_1234"}
    async with start(_project(tmp_path / "p"), env=env) as dev:
        warning = await dev.line("warning")
        assert "TRIGGER_SECRET_KEY" in warning["text"]
        assert "tr_prod_1234" not in str(dev.lines)
        assert dev.env_file()["TRIGGER_SECRET_KEY"].startswith("tr_dev_")
        assert await dev.api().output("edition") == 0


async def test_a_dev_key_of_the_environment_is_used(tmp_path: Path) -> None:
    key = "tr_dev_chosen_by_me"
    async with start(_project(tmp_path / "p"), env={"TRIGGER_SECRET_KEY": key}) as dev:
        assert dev.env_file()["TRIGGER_SECRET_KEY"] == key
        assert await dev.api().output("edition") == 0


async def test_an_interpreter_without_the_package(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "venv", "--without-pip", str(project / ".venv")], check=True
    )
    ended = await asyncio.to_thread(_dev, project, env={"PYTHONPATH": ""})
    assert ended.returncode == 1, ended
    assert "cannot import triggerdev" in ended.stderr
    assert ".venv/bin/python" in ended.stderr


async def test_a_full_disk_refuses_triggers_and_keeps_running_work(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    release = tmp_path / "release"
    (project / "trigger" / "tasks.py").write_text(RUNNING.format(edition="done"))
    async with start(project) as dev:
        api = dev.api()
        running = await api.trigger("long", {"release": str(release)})
        await dev.line("run", lambda line: line["run"] == running and line["event"] == "started")
        # When no file may grow any more
        _limit_files(dev.process.pid, 4096)
        refused = await api.http.post("/api/v1/tasks/long/trigger", json={"payload": {"x": "y" * 200_000}})
        assert refused.status_code == 507
        assert "disk space" in refused.json()["error"]
        release.touch()
        # Then what runs is kept, and ends once there is space again
        await dev.line("warning", lambda line: "disk" in line["text"])
        _limit_files(dev.process.pid, resource.RLIM_INFINITY)
        assert (await api.result(running))["output"] == "done"
        assert await api.output("long", {"release": str(release)}) == "done"


def _limit_files(pid: int, size: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_the_default_port_makes_room_and_says_so(tmp_path: Path) -> None:
    async with (
        start(_project(tmp_path / "a"), "--plain") as first,
        start(_project(tmp_path / "b"), "--plain") as second,
    ):
        assert first.url != second.url
        notice = await second.line("notice", lambda line: "is taken" in line["text"])
        assert str(second.url.rpartition(":")[2]) in notice["text"]
