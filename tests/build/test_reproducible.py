"""The same tree gives the same plan: whatever the folder, umask, time zone, times, or order of creation."""

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.build.support import TASK, Project, layer_of

CONFIG = 'project = "demo"\n[build.extensions.additional-files]\nfiles = ["data"]\noptional = true\n'
NAMES = st.text(st.sampled_from("abcäß.-_ "), min_size=1, max_size=5).filter(
    lambda name: name.strip(". ") == name
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=20), st.booleans()), max_size=6)

_NUMBERS = itertools.count()


@contextmanager
def surroundings(umask: int, zone: str) -> Iterator[None]:
    old_mask, old_zone = os.umask(umask), os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.umask(old_mask)
        os.environ.pop("TZ") if old_zone is None else os.environ.update(TZ=old_zone)
        time.tzset()


def make(root: Path, tree: dict[str, tuple[bytes, bool]], backwards: bool, at: int) -> Project:
    project = Project(root)
    for name in sorted(tree, reverse=backwards):
        content, executable = tree[name]
        path = project.write(f"data/{name}", content)
        path.chmod((0o700 if executable else 0o600) if backwards else (0o755 if executable else 0o644))
        os.utime(path, (at, at))
    project.write("trigger/hello.py", TASK)
    project.write("trigger.config.toml", CONFIG)
    return project


def everything(project: Project) -> dict[str, tuple[int, float, bytes]]:
    """Give all of a build folder: the mode, time and bytes of each file."""
    folder = project.plan().build_dir
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mode & 0o777,
            path.stat().st_mtime,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def without_conflicts(tree: dict[str, tuple[bytes, bool]]) -> dict[str, tuple[bytes, bool]]:
    """Leave out files where another file needs a folder."""
    return {
        name: entry for name, entry in tree.items() if not any(each.startswith(name + "/") for each in tree)
    }


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES.map(without_conflicts))
def test_the_same_tree_has_the_same_plan_everywhere(
    project: Project, tmp_path: Path, tree: dict[str, tuple[bytes, bool]]
) -> None:
    here, there = tmp_path / f"one{next(_NUMBERS)}", tmp_path / "some" / "where" / f"else{next(_NUMBERS)}"
    with surroundings(0o022, "UTC"):
        first = everything(make(here, tree, False, 1_000_000_000))
    with surroundings(0o077, "Pacific/Auckland"):
        second = everything(make(there, tree, True, 1_700_000_000))
    assert first == second
    shutil.rmtree(here)
    shutil.rmtree(there)


def test_the_document_has_no_path_of_this_machine(project: Project) -> None:
    made = project.plan()
    assert str(project.root) not in json.dumps(made.document)
    assert str(project.root) not in (made.build_dir / "build.json").read_text()


def keys(project: Project) -> dict[str, str]:
    return {layer["id"]: layer["key"] for layer in project.plan().document["layers"]}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() & after.keys() if before[name] != after[name]}


@pytest.fixture
def layered(project: Project) -> Project:
    """A project with a layer of each kind."""
    project.write("data/a.txt", "a")
    project.write("requirements.txt", "httpx==0.28.1\n")
    project.extension(
        'context.add_layer({"id": "made", "commands": ["make"], "files": {"m": "Makefile"}})',
        'context.add_layer({"id": "first", "commands": ["true"], "placement": "base"})',
    )
    project.write("Makefile", "all:\n")
    config = (project.root / "trigger.config.toml").read_text()
    tables = '[build.extensions.apt-get]\npackages = ["git"]\n'
    tables += '[build.extensions.additional-files]\nfiles = ["data"]\n'
    project.write("trigger.config.toml", config + tables)
    return project


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("trigger/hello.py", TASK + "# more\n", {"source"}),
        ("data/a.txt", "b", {"additional-files"}),
        ("Makefile", "all: more\n", {"made"}),
        ("requirements.txt", "httpx==0.28.0\n", {"dependencies", "made"}),
    ],
)
def test_a_change_reaches_its_own_layer_and_what_is_executed_above(
    layered: Project, file: str, text: str, expected: set[str]
) -> None:
    before = keys(layered)
    layered.write(file, text)
    assert changed(before, keys(layered)) == expected


def test_another_base_or_system_package_rebuilds_all_that_is_executed(layered: Project) -> None:
    before = keys(layered)
    config = (layered.root / "trigger.config.toml").read_text()
    layered.write("trigger.config.toml", config.replace('"git"', '"git", "curl"'))
    assert changed(before, keys(layered)) == {"apt-get", "first", "dependencies", "made", "source"}
    layered.write("trigger.config.toml", config + '[build]\nbase_image = "python:3.13"\n')
    everything_executed = {"base", "apt-get", "first", "dependencies", "made", "source"}
    assert changed(before, keys(layered)) == everything_executed


def test_an_executable_bit_is_part_of_a_layer(layered: Project) -> None:
    before = keys(layered)
    (layered.root / "data/a.txt").chmod(0o755)
    assert changed(before, keys(layered)) == {"additional-files"}


def test_a_layer_counts_as_cached_when_its_key_was_built(layered: Project) -> None:
    document = layered.plan().document
    assert {layer["status"] for layer in document["layers"]} == {"build"}
    built = {layer["key"]: {"id": layer["id"]} for layer in document["layers"]}
    record = layered.write(".trigger/cache/layers.json", json.dumps({"layers": built}))
    layered.write("data/a.txt", "b")
    document = layered.plan().document
    fresh = [layer["id"] for layer in document["layers"] if layer["status"] == "build"]
    assert fresh == ["additional-files"]
    assert layer_of(document, "additional-files")["reason"] == "its content has changed"
    assert json.loads(record.read_text()) == {"layers": built}


@pytest.mark.parametrize("text", ["{", "[]", '{"layers": 3}', '{"layers": {"a": 1}}'])
def test_a_broken_record_is_a_warning(project: Project, text: str) -> None:
    project.write(".trigger/cache/layers.json", text)
    document = project.plan().document
    assert any("no layer counts as cached" in warning for warning in document["warnings"])
