"""The projects below `examples/`: their own tests pass, and a dry run shows what would be deployed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent.name for path in (REPOSITORY / "examples").glob("*/trigger.config.toml"))
SCHEMA = json.loads((REPOSITORY / "docs" / "deploy-plan.schema.json").read_text("utf-8"))
WITH_TESTS = sorted(path.parent.name for path in (REPOSITORY / "examples").glob("*/pytest.ini"))


@pytest.fixture
def example(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    source = REPOSITORY / "examples" / request.param
    return Path(
        shutil.copytree(
            source,
            tmp_path / request.param,
            ignore=shutil.ignore_patterns(".trigger", "__pycache__", ".venv"),
        )
    )


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        # Nothing of this machine's settings, and nobody to ask: PATH leads to no engine.
        env={"PATH": "/nonexistent", "HOME": str(folder), "LANG": os.environ.get("LANG", "C.UTF-8")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def plan(folder: Path) -> dict[str, Any]:
    done = run(folder, "triggerdev", "deploy", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_the_examples_are_those_that_the_tests_know() -> None:
    assert set(EXAMPLES) - set(WITH_TESTS) == {"quickstart"}
    assert len(WITH_TESTS) >= 2


@pytest.mark.parametrize("example", WITH_TESTS, indirect=True)
def test_its_own_tests_pass(example: Path) -> None:
    done = run(example, "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("example", EXAMPLES, indirect=True)
def test_a_dry_run_is_valid_and_complete(example: Path) -> None:
    made = plan(example)
    jsonschema.validate(made, SCHEMA)
    assert made["warnings"] == []
    layers = {layer["id"]: layer for layer in made["layers"]}
    assert {"base", "dependencies", "runtime", "source"} <= set(layers)
    assert {layer["status"] for layer in layers.values()} == {"build"}
    assert all(layer["reason"] for layer in layers.values())
    assert {task["change"] for task in made["tasks"]} == {"+"}
    assert not any("/tests/" in path for path in layers["source"]["files"])


@pytest.mark.parametrize("example", EXAMPLES, indirect=True)
def test_people_read_the_same(example: Path) -> None:
    made = plan(example)
    shown = run(example, "triggerdev", "deploy", "--dry-run")
    assert (shown.returncode, shown.stderr) == (0, "")
    for layer in made["layers"]:
        assert re.search(rf"^  {re.escape(layer['id'])} .*{layer['key'][:12]}", shown.stdout, re.MULTILINE)
    for task in made["tasks"]:
        assert f"  +  {task['id']}" in shown.stdout
