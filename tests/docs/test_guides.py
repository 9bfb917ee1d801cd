"""Each page of the guide is a project whose tests pass, and the index names every page."""

import re
from pathlib import Path

import pytest

from tests.testing.test_sync import run_pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
PAGES = sorted(path for path in GUIDE.glob("*.md") if path.name != "README.md")
PLUGINS = ("-p", "pytest_asyncio.plugin", "-p", "triggerdev.testing.plugin", "-o", "asyncio_mode=auto")
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tests_of_the_page_pass(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = re.findall(
        r"^```(?:python|toml)\n# (\S+\.(?:py|toml))\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    assert len(files) == len(re.findall(r"^```(?:python|toml)$", text, re.MULTILINE)), (
        "a block without a file name"
    )
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "pytest.ini").write_text(INI)
    expected = len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE))
    assert expected > 0, "a page without a test"
    answer = run_pytest(tmp_path, *PLUGINS)
    assert f"{expected} passed" in answer.stdout, answer.stdout + answer.stderr


def test_the_index_names_every_page() -> None:
    named = set(re.findall(r"\]\((\w[\w-]*\.md)\)", (GUIDE / "README.md").read_text(encoding="utf-8")))
    assert named == {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_links_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
