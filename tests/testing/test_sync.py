"""The blocking twin, and the pytest plugin."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from triggerdev import runs, task, testing, wait
from triggerdev.testing.sync import SyncEngine


@task
async def greet(payload: str) -> str:
    await wait.for_(days=30)
    token = await wait.for_token("name")
    return f"hello {payload} {token.output}"


@pytest.fixture
def trigger_tasks() -> Any:
    return [greet]


@pytest.fixture
def trigger_engine_options() -> dict[str, Any]:
    return {"now": datetime(2026, 1, 1, tzinfo=UTC)}


def test_the_fixture_is_an_engine_that_blocks(trigger_engine: SyncEngine) -> None:
    handle = greet.sync.trigger("Ada")
    trigger_engine.advance(days=31)
    assert trigger_engine.now == datetime(2026, 2, 1, tzinfo=UTC)
    assert trigger_engine.find(handle.id).status == "WAITING"
    trigger_engine.complete_token("name", "L.")
    assert runs.sync.poll(handle).output == "hello Ada L."
    assert trigger_engine.run(greet, "Bob").output == "hello Bob L."
    trigger_engine.assert_triggered(greet, "Ada", times=1)
    trigger_engine.assert_not_triggered(greet, "Eve")


async def test_the_fixture_serves_tests_with_a_loop_too(trigger_engine: SyncEngine) -> None:
    trigger_engine.complete_token("name", "L.")
    handle = await greet.trigger("Ada")
    assert (await runs.poll(handle)).output == "hello Ada L."


def test_the_other_calls_block_as_well() -> None:
    with testing.sync.engine([greet]) as engine:
        handle = engine.trigger(greet, "x")
        engine.idle()
        assert engine.cancel(handle).status == "CANCELED"
        assert engine.wait(handle).status == "CANCELED"
        assert [run.id for run in engine.triggered(greet)] == [run.id for run in engine.runs]
        assert engine.logs(handle) == []


PROJECT = """
from triggerdev import task, wait

@task
async def hello(payload):
    await wait.for_(days=30)
    return payload

def test_it(trigger_engine):
    assert trigger_engine.run(hello, 5).output == 5
    trigger_engine.assert_triggered("hello", payload=5, times=1)
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder with no plugin but those that are named."""
    variables = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    variables["PYTHONPATH"] = str(Path(testing.__file__).parents[2])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def test_the_plugin_works_in_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(PROJECT)
    answer = run_pytest(tmp_path, "-p", "triggerdev.testing.plugin")
    assert "1 passed" in answer.stdout, answer.stdout + answer.stderr


def test_without_the_plugin_other_tests_run(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_it(): pass")
    answer = run_pytest(tmp_path, "-p", "no:triggerdev")
    assert "1 passed" in answer.stdout, answer.stdout + answer.stderr


def test_the_plugin_imports_nothing_heavy() -> None:
    heavy = (
        "asyncio",
        "pydantic",
        "httpx",
        "fastapi",
        "triggerdev.engine",
        "triggerdev.worker",
    )
    code = (
        "import sys, pytest; before = set(sys.modules); import triggerdev.testing.plugin;"
        f"print([name for name in {heavy!r} if name in set(sys.modules) - before])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_exported_name_is_there_and_documented() -> None:
    for name in testing.__all__:
        assert getattr(testing, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testing.nothing  # noqa: B018 - the attribute is what is tested
