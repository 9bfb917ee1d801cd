"""What the README says is so."""

import re
import runpy
from pathlib import Path

import pytest

from triggerdev.cli.main import COMMANDS
from triggerdev.sdk import registry

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_defines_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "example.py"
    file.write_text(code)
    with registry.use(registry.Registry()) as found:
        runpy.run_path(str(file))
    assert set(found.tasks) == {"send-invoice", "charge"}


def test_every_command_that_it_names_exists() -> None:
    for cell in re.findall(r"^\| (`trigger .*?) \|", README, re.MULTILINE):
        for name in re.findall(r"`(?:trigger )?([a-z]+)", cell):
            assert name in COMMANDS, name


def test_every_file_that_it_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_two_commands_exist() -> None:
    for name in re.findall(r"^(\./scripts/\w+)", README, re.MULTILINE):
        assert (ROOT / name).stat().st_mode & 0o111, name
