"""The crash points themselves, and what they have brought to light; the scenario hits each on each store."""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dev.kit import REPOSITORY, start
from triggerdev import _crash

_CALLS = {"crash_point": 0, "crash_point_after_turn": 1}
_ROUND_COMMITS = "crash_points"


def test_every_point_in_the_source_is_described_and_every_described_one_is_there() -> None:
    commits, others = set[str](), set[str]()
    for path in (REPOSITORY / "triggerdev").rglob("*.py"):
        for call, name in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            (commits if call == _ROUND_COMMITS else others).add(name)
    moments = {f"{name}.{moment}" for name in commits for moment in ("before_commit", "after_commit")}
    assert commits == set(_crash.COMMITS)
    assert others | moments == set(_crash.POINTS)


def _calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Go through the calls of a module that name points by literals."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        position = _CALLS.get(called, 0 if called == _ROUND_COMMITS else None)
        if position is not None and isinstance(name := node.args[position], ast.Constant):
            yield called, str(name.value)


def run_with(crash: str, folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TRIGGER_CRASH": crash, "TRIGGER_CRASH_FOLDER": str(folder)}
    program = f"from triggerdev._crash import crash_point\n{code}\nprint('alive')"
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )


def test_a_point_kills_the_process_that_reaches_it_the_nth_time_and_only_that(tmp_path: Path) -> None:
    code = "crash_point('worker.taken')\ncrash_point('worker.parked')"
    outcomes = [run_with("worker.taken:3", tmp_path, code).returncode for _ in range(5)]
    assert outcomes == [0, 0, -signal.SIGKILL, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["worker.taken"]
    assert len((tmp_path / "worker.taken").read_text().splitlines()) == 5


def test_what_is_no_point_is_refused(tmp_path: Path) -> None:
    done = run_with("worker.takne:1", tmp_path, "")
    assert done.returncode == 1
    assert "'worker.takne' is no crash point" in done.stderr


def test_without_the_variable_nothing_is_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIGGER_CRASH", raising=False)
    _crash.arm()
    assert _crash.armed is None
    for name in _crash.POINTS:
        _crash.crash_point(name)


async def test_code_whose_process_is_killed_while_it_loads_is_loaded_again(tmp_path: Path) -> None:
    project, points = tmp_path / "project", tmp_path / "points"
    (project / "trigger").mkdir(parents=True)
    points.mkdir()
    (project / "trigger.config.toml").write_text('project = "test"\n')
    (project / "trigger" / "tasks.py").write_text(
        "from triggerdev import task\n\n\n@task\nasync def greet():\n    return 'hello'\n"
    )
    env = {"TRIGGER_CRASH": "version.imported:1", "TRIGGER_CRASH_FOLDER": str(points)}
    async with start(project, env=env) as dev:
        assert await dev.api().output("greet") == "hello"
    assert len((points / "version.imported").read_text().splitlines()) == 2
