"""The scripts of a fresh clone, with stand-ins for Python and apt-get on PATH."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(11, 15)))
# Knows what scripts/setup asks of an interpreter: its version, venv with pip, the name of Debian's package.
PYTHON = """\
case "$*" in
*version_info\\ \\<*) {is_new_enough} ;;
*ensurepip*) {has_venv} ;;
*-venv\\"*) echo python3.11-venv ;;
"-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >>calls ;;
*"pip install"*) echo pip >>calls ;;
esac
"""


class Clone:
    """A copy of the scripts, and a folder of programs that come first on PATH."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        shutil.copytree(REPOSITORY / "scripts", folder / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(REPOSITORY / name, folder)
        programs.mkdir()
        self.program("apt-get", "echo apt-get >>calls; exit 1")

    def program(self, name: str, text: str) -> None:
        file = self._programs / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def pythons(self, is_new_enough: str = "true", has_venv: str = "true") -> None:
        for name in PYTHONS:
            self.program(name, PYTHON.format(is_new_enough=is_new_enough, has_venv=has_venv))

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(
            [self.folder / "scripts" / script, *arguments],
            env=environ,
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "a clone", tmp_path / "programs")


@pytest.mark.parametrize(
    "script",
    [*sorted((REPOSITORY / "scripts").iterdir()), REPOSITORY / ".ci" / "run"],
    ids=lambda path: path.name,
)
def test_scripts_are_valid_and_executable(script: Path) -> None:
    shell = script.read_text().partition("\n")[0].rpartition("/")[2].split()[-1]
    assert shell in ("sh", "bash")
    assert os.access(script, os.X_OK)
    subprocess.run([shell, "-n", script], check=True)


def test_a_python_that_is_too_old_is_refused(clone: Clone) -> None:
    clone.pythons(is_new_enough="false")
    for script in ("setup", "quickstart", "test"):
        done = clone.run(script)
        assert done.returncode == 1
        assert done.stderr.startswith("setup: no Python 3.11 or newer on PATH; install one")
    assert not (clone.folder / ".venv").exists()


def test_without_the_right_to_install_the_missing_package_is_named(clone: Clone) -> None:
    clone.pythons(has_venv="false")
    clone.program("id", "echo 1000")
    done = clone.run("setup")
    assert done.returncode == 1
    assert "run: sudo apt-get install python3.11-venv" in done.stderr
    assert clone.calls == []


def test_a_folder_that_cannot_hold_an_environment_is_refused(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "a:b", tmp_path / "programs")
    clone.pythons()
    done = clone.run("setup")
    assert done.returncode == 1
    assert "colon" in done.stderr
    assert clone.calls == []


def test_setting_up_again_does_only_what_has_changed(clone: Clone) -> None:
    clone.pythons()
    for _ in range(2):
        assert clone.run("setup").returncode == 0
    assert clone.calls == ["venv", "pip"]
    with (clone.folder / "constraints.txt").open("a") as file:
        file.write("# moved\n")
    assert clone.run("setup").returncode == 0
    assert clone.calls == ["venv", "pip", "pip"]


def test_an_environment_that_was_moved_is_made_anew(clone: Clone, tmp_path: Path) -> None:
    clone.pythons()
    assert clone.run("setup").returncode == 0
    clone.folder = clone.folder.rename(tmp_path / "moved")
    assert clone.run("setup").returncode == 0
    assert clone.calls == ["venv", "pip", "venv", "pip"]


def test_quickstart_runs_the_example_and_passes_arguments_on(clone: Clone) -> None:
    clone.pythons()
    assert clone.run("setup").returncode == 0
    trigger = clone.folder / ".venv" / "bin" / "trigger"
    trigger.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    trigger.chmod(0o755)
    done = clone.run("quickstart", "--port", "0")
    example = clone.folder / "examples" / "quickstart"
    assert done.stdout.splitlines() == ["dev", str(example), "--port", "0"]
    assert f'in a second terminal: cd "{example}" && . ../../.venv/bin/activate' in done.stderr
