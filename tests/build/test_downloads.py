"""The command that fetches a pinned file: it takes the right one only, from the first place that has it."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.build.support import Project
from triggerdev import errors
from triggerdev.extensions import downloads
from triggerdev.extensions.downloads import Download


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A folder with a file for each architecture, named like it."""
    for architecture in ("amd64", "arm64"):
        (tmp_path / f"tool-{architecture}.bin").write_text(f"program for {architecture}")
    return tmp_path


def pinned(folder: Path, *urls: str) -> Download:
    sums = {
        architecture: hashlib.sha256(f"program for {architecture}".encode()).hexdigest()
        for architecture in ("amd64", "arm64")
    }
    return Download(
        f"test-{os.getpid()}", "1.0", sums, "computed", urls=urls or (f"file://{folder}/tool-{{arch}}.bin",)
    )


def fetch(
    download: Download, folder: Path, architecture: str
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the command with a `dpkg` that says it is on an architecture."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "dpkg").write_text(f"#!/bin/sh\necho {architecture}\n")
    (programs / "dpkg").chmod(0o755)
    command, place = downloads.fetch(download)
    done = subprocess.run(
        ["/bin/sh", "-euc", command],
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    return done, Path(place)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_file_of_the_architecture_is_fetched_and_checked(served: Path, architecture: str) -> None:
    done, place = fetch(pinned(served), served, architecture)
    assert done.returncode == 0, done.stderr
    assert place.read_text() == f"program for {architecture}"
    place.unlink()


def test_another_file_than_the_pinned_one_is_refused(served: Path) -> None:
    (served / "tool-amd64.bin").write_text("something else")
    done, place = fetch(pinned(served), served, "amd64")
    assert done.returncode != 0
    assert f"{place}: FAILED" in done.stdout
    place.unlink()


def test_the_next_place_is_tried_when_one_does_not_have_it(served: Path) -> None:
    places = [f"file://{served}/{name}-{{arch}}.bin" for name in ("gone", "tool")]
    done, place = fetch(pinned(served, *places), served, "arm64")
    assert done.returncode == 0, done.stderr
    assert f"cannot be fetched: file://{served}/gone-arm64.bin" in done.stderr
    place.unlink()


def test_a_file_that_no_place_has_fails(served: Path) -> None:
    done, _ = fetch(pinned(served, f"file://{served}/gone"), served, "amd64")
    assert done.returncode != 0


def test_an_architecture_without_a_file_is_named(served: Path) -> None:
    done, _ = fetch(pinned(served), served, "riscv64")
    assert done.returncode == 1
    assert "1.0 for riscv64" in done.stderr


def test_a_platform_without_a_file_is_refused_before_anything_is_built(project: Project) -> None:
    platforms = '[build]\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    project.config(f'{platforms}[build.extensions.ffmpeg]\nversion = "7.0.2"\n')
    assert [str(pin) for pin in project.outcome().pins] == ["ffmpeg 7.0.2"]
    project.config(f"{platforms}[build.extensions.audio-waveform]\n")
    with pytest.raises(errors.BuildError, match="no pinned download for linux/arm64, only for linux/amd64"):
        project.outcome()
