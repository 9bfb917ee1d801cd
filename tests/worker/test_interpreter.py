"""Which interpreter runs user code, and what is said when it cannot."""

import sys
from pathlib import Path

import pytest

import triggerdev
from triggerdev import errors
from triggerdev._version import __version__
from triggerdev.worker.interpreter import check_interpreter, find_interpreter

CHECKOUT = Path(triggerdev.__path__[0]).parent


def fake(root: Path, answer: str) -> Path:
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{answer}\n")
    python.chmod(0o755)
    return python


def test_the_environment_beside_the_config_is_used(tmp_path: Path) -> None:
    assert find_interpreter(tmp_path) == Path(sys.executable)
    python = fake(tmp_path, "exit 0")
    assert find_interpreter(tmp_path) == python


def test_the_running_interpreter_needs_no_check() -> None:
    check_interpreter(Path(sys.executable))


def test_one_with_the_same_version_is_fine(tmp_path: Path) -> None:
    check_interpreter(fake(tmp_path, f"echo {__version__}"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("exit 1", "cannot import triggerdev"),
        ("echo 0.0.1", f"has triggerdev 0.0.1, but this command is {__version__}"),
    ],
)
def test_others_are_refused_with_the_way_out(tmp_path: Path, answer: str, said: str) -> None:
    python = fake(tmp_path, answer)
    with pytest.raises(errors.EnvironmentProblemError) as caught:
        check_interpreter(python)
    assert said in str(caught.value)
    assert f"{python} -m pip install {CHECKOUT}" in str(caught.value)


def test_an_installed_version_is_asked_for_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggerdev, "__path__", [str(tmp_path / "site-packages" / "triggerdev")])
    with pytest.raises(errors.EnvironmentProblemError, match=f"pip install triggerdev=={__version__}"):
        check_interpreter(fake(tmp_path, "exit 1"))


def test_a_link_to_a_python_that_is_gone_is_refused(tmp_path: Path) -> None:
    python = fake(tmp_path, "")
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert find_interpreter(tmp_path) == python
    with pytest.raises(errors.EnvironmentProblemError, match="does not run: No such file or directory"):
        check_interpreter(python)


def test_one_that_does_not_run_is_named(tmp_path: Path) -> None:
    python = fake(tmp_path, "")
    python.chmod(0o644)
    with pytest.raises(errors.EnvironmentProblemError, match="does not run"):
        check_interpreter(python)
