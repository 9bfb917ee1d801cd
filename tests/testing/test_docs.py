"""The guide's examples are files of a project, and its tests pass."""

import re
from pathlib import Path

import triggerdev
from tests.testing.test_sync import run_pytest
from triggerdev.testing.virtual import EngineOptions

GUIDE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
PLUGINS = ("-p", "pytest_asyncio.plugin", "-p", "triggerdev.testing.plugin", "-o", "asyncio_mode=auto")


def test_the_tests_of_the_guide_pass(tmp_path: Path) -> None:
    files = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(files) == GUIDE.count("```python")
    for name, text in files:
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    answer = run_pytest(tmp_path, *PLUGINS)
    expected = GUIDE.count("\nasync def test_") + GUIDE.count("\ndef test_")
    assert f"{expected} passed" in answer.stdout, answer.stdout + answer.stderr


def test_every_option_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `(\w+)", GUIDE, re.MULTILINE)) - {"tasks"}
    internal = {"connect", "settings"}  # in the text, or for those who test triggerdev itself
    assert named == EngineOptions.__annotations__.keys() - internal


def test_every_name_of_the_guide_exists() -> None:
    for name in re.findall(r"`testing\.([a-z_.]+)", GUIDE):
        owner: object = triggerdev.testing
        for part in name.split("."):
            owner = getattr(owner, part)
