"""Remembered digests: what has not changed is not read again, and what has changed always is."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build.support import Project
from triggerdev.build import digests

Read = Callable[[], str]
LONG_AGO = time.time_ns() - 3600 * 10**9


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were really read."""
    done: list[str] = []
    real = digests._read

    def remember(path: Path) -> tuple[os.stat_result, str]:
        done.append(path.name)
        return real(path)

    monkeypatch.setattr(digests, "_read", remember)
    return done


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk's clock is an hour ahead, so that files just written are old enough to be remembered."""
    real = digests._disk_time
    monkeypatch.setattr(digests, "_disk_time", lambda folder: (real(folder) or 0) + 3600 * 10**9)


def ask(root: Path, *names: str) -> list[str]:
    with digests.remembered(root):
        return [digests.digest(root / name)[1] for name in names]


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


@pytest.mark.usefixtures("later")
def test_what_has_not_changed_is_not_read_again(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    first = ask(tmp_path, "a", "b")
    assert reads == ["a", "b"]
    assert ask(tmp_path, "a", "b") == first == [sha256(b"a"), sha256(b"b")]
    assert reads == ["a", "b"]


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("change", ["content", "same size and time", "mode", "another file", "longer"])
def test_every_change_is_seen(tmp_path: Path, reads: list[str], change: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    ask(tmp_path, "a")
    if change == "mode":
        path.chmod(0o755)
    elif change == "another file":
        (tmp_path / "b").write_bytes(b"5678")
        (tmp_path / "b").replace(path)
    else:
        path.write_bytes(b"12345" if change == "longer" else b"5678")
    if change != "content":
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert ask(tmp_path, "a") == [sha256(path.read_bytes())]
    assert reads == ["a", "a"]


def test_what_is_young_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    """A second change within one tick of the disk's clock leaves no trace but in the content."""
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    ask(tmp_path, "a")
    ask(tmp_path, "a")
    assert reads == ["a", "a"]


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": 3, "files": {}, "facts": {}}',
        '{"version": 2, "files": {"a": [1]}, "facts": {}}',
        '{"version": 2, "files": {}, "facts": 1}',
    ],
)
def test_a_damaged_memory_is_no_memory(tmp_path: Path, reads: list[str], text: str) -> None:
    (tmp_path / "a").write_bytes(b"a")
    ask(tmp_path, "a")
    (tmp_path / digests.FILE).write_text(text)
    assert ask(tmp_path, "a") == [sha256(b"a")]
    assert reads == ["a", "a"]
    ask(tmp_path, "a")
    assert reads == ["a", "a"]


@pytest.mark.usefixtures("later")
def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    ask(tmp_path, "a", "b")
    (tmp_path / "a").write_bytes(b"y")
    ask(tmp_path, "a")
    assert list(json.loads((tmp_path / digests.FILE).read_text())["files"]) == [str(tmp_path / "a")]


def test_a_folder_that_cannot_be_written_to_does_no_harm(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / ".trigger").write_text("a file where a folder is wanted")
    assert ask(tmp_path, "a") == ask(tmp_path, "a") == [sha256(b"a")]
    assert reads == ["a", "a"]


def test_without_memory_every_file_is_read(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    for _ in range(2):
        assert digests.digest(tmp_path / "a")[1] == sha256(b"a")
    assert reads == ["a", "a"]


def test_what_was_found_in_a_content_is_found_once(tmp_path: Path) -> None:
    found: list[str] = []

    def find(name: str) -> list[str]:
        found.append(name)
        return [name]

    for _ in range(2):
        with digests.remembered(tmp_path):
            assert digests.fact("a", lambda: find("a")) == ["a"]
    assert digests.fact("a", lambda: find("a")) == ["a"]
    assert found == ["a", "a"]  # without a memory it is looked for


def test_facts_that_nobody_asks_for_are_forgotten(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with digests.remembered(tmp_path):
            digests.fact(name, lambda: 1)
    assert list(json.loads((tmp_path / digests.FILE).read_text())["facts"]) == ["b"]


@pytest.mark.usefixtures("later")
def test_a_second_plan_reads_only_what_has_changed(project: Project, reads: list[str]) -> None:
    project.write("assets/logo.txt", "logo")
    project.config('[build.extensions.additional-files]\nfiles = ["assets"]\n')
    first = project.plan()
    assert {"hello.py", "logo.txt", "trigger.config.toml"} <= set(reads)
    reads.clear()
    assert project.plan().document["layers"] == first.document["layers"]
    assert reads == []
    project.write("assets/logo.txt", "another logo")
    project.plan()
    assert reads == ["logo.txt"]
