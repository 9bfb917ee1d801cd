"""What starting the command costs, and what its processes' exit codes are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import triggerdev

SOURCE = Path(triggerdev.__path__[0]).parent

# What `trigger --help` may load on top of `import triggerdev`; the rest is loaded by the commands themselves.
ALLOWED_OURS = {
    "triggerdev.cli",
    "triggerdev.cli.exit_codes",
    "triggerdev.cli.lazy",
    "triggerdev.cli.main",
    "triggerdev.errors",
}
ALLOWED_OTHERS = {"typer", "click", "shellingham", "typing_extensions", "annotated_doc", "colorama"}
HEAVY = {"asyncio", "docker", "fastapi", "httpx", "jinja2", "pydantic", "rich", "uvicorn", "watchfiles"}

_LIST_MODULES = """
import json, sys
import triggerdev
before = set(sys.modules)
from triggerdev.cli.main import main
code = main(["--help"])
report = {"code": code, "modules": sorted(set(sys.modules) - before), "all": sorted(sys.modules)}
print(json.dumps(report), file=sys.stderr)
"""


def _run(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "HOME": str(folder), **more}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )


def test_help_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    done = _run("-c", _LIST_MODULES, folder=tmp_path)
    report = json.loads(done.stderr)
    ours = {name for name in report["modules"] if name.split(".")[0] == "triggerdev"}
    others = {name.split(".")[0] for name in report["modules"]} - set(sys.stdlib_module_names)
    assert report["code"] == 0
    assert ours <= ALLOWED_OURS
    assert others - {"triggerdev"} <= ALLOWED_OTHERS
    assert not HEAVY & set(report["all"])


def test_help_names_every_command(tmp_path: Path) -> None:
    done = _run("-m", "triggerdev", "--help", folder=tmp_path)
    assert done.returncode == 0
    for name in (
        "init",
        "dev",
        "deploy",
        "run",
        "tasks",
        "runs",
        "config",
        "doctor",
        "completion",
        "version",
    ):
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["version"], 0),
        (["--version"], 0),
        (["no-such-command"], 2),
        (["version", "--no-such-option"], 2),
        ([], 2),
        (["init"], 4),
        (["runs", "list"], 5),
        (["runs", "list", "--status", "fialed"], 2),
    ],
)
def test_exit_codes_of_the_process(arguments: list[str], code: int, tmp_path: Path) -> None:
    done = _run("-m", "triggerdev", *arguments, folder=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "triggerdev", "--help"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_as_good_as_empty_ones(closed: str, tmp_path: Path) -> None:
    for command, code in (("version", 0), ("run hello --payload-file -", 2), ("no-such-command", 2)):
        line = f'"{sys.executable}" -m triggerdev {command} {closed}'
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "triggerdev", "version"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_command(shell: str, tmp_path: Path) -> None:
    done = _run("-m", "triggerdev", "completion", shell, folder=tmp_path)
    assert done.returncode == 0
    assert "_TRIGGER_COMPLETE" in done.stdout


def test_completion_offers_commands(tmp_path: Path) -> None:
    done = _run(
        "-m",
        "triggerdev",
        folder=tmp_path,
        _TRIGGER_COMPLETE="complete_bash",
        COMP_WORDS="trigger runs ca",
        COMP_CWORD="2",
    )
    assert done.stdout.split() == ["cancel"]
