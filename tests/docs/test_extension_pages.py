"""The pages on build extensions: every table is accepted, and the extension that they write runs as it is."""

import re
from pathlib import Path

import pytest

from tests.build.support import Project, ids, layer_of
from tests.testing.test_sync import run_pytest
from triggerdev.cli.main import main
from triggerdev.config import load_config
from triggerdev.extensions import BUILT_IN, downloads

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "extensions.md").read_text("utf-8")
TUTORIAL = (DOCS / "write-an-extension.md").read_text("utf-8")
TABLES = re.findall(r"^```toml\n(\[build\.extensions\..*?)^```", REFERENCE, re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```\w+\n# file: (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def filled(tmp_path: Path) -> Project:
    """A project with the files that the tables name."""
    project = Project(tmp_path / "project")
    for name in ("assets/a.txt", "fonts/inter.ttf", "scripts/a.py", "scripts/requirements.txt"):
        project.write(name)
    project.write("prisma/schema.prisma", "generator client {\n}\n")
    project.write("build_support/variables.py", dict(FILE.findall(REFERENCE))["build_support/variables.py"])
    return project


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.split("]")[0].rpartition(".")[2])
def test_every_table_of_the_reference_is_accepted(filled: Project, table: str) -> None:
    filled.config(table)
    assert filled.outcome().contributions


def test_every_built_in_extension_is_in_the_reference() -> None:
    sections = set(re.findall(r"^### ([a-z-]+)$", REFERENCE, re.MULTILINE))
    node = {"emit-decorator-metadata", "esbuild-plugin"}
    assert sections == set(BUILT_IN) - node
    assert all(f"`{name}`" in REFERENCE for name in node)


def test_every_pinned_version_is_in_the_reference() -> None:
    for each in downloads.TABLE:
        assert each.version in REFERENCE, (each.name, each.version)


def test_every_option_is_in_the_reference() -> None:
    from triggerdev.build import loading, project_imports

    for name, reference in BUILT_IN.items():
        options = loading._accepted(project_imports.resolve_reference(reference, DOCS)) or {}
        section = REFERENCE.partition(f"### {name}\n")[2].partition("\n### ")[0]
        for option in options:
            assert f"`{option}`" in section or f"`{option} = " in section or f"\n{option} = " in section, (
                option
            )


def pasted(folder: Path) -> Project:
    project = Project(folder)
    for name, text in FILE.findall(TUTORIAL):
        project.write(name, text)
    project.write("assets/inter.ttf", "a font")
    return project


def test_the_extension_of_the_page_runs_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = pasted(tmp_path / "posters")
    monkeypatch.chdir(project.root)
    assert main(["deploy", "--dry-run"]) == 0
    out = capfd.readouterr().out
    assert re.search(r"^  apt-get +fonts +fontconfig, fonts-inter ", out, re.MULTILINE)
    document = project.plan().document
    order = ids(document)
    assert order.index("fonts") < order.index("dependencies")
    assert layer_of(document, "fonts")["commands"] == ["fc-cache --force", "fc-list | grep --quiet ."]
    assert [each.name for each in project.outcome().env] == ["FONTS_PATH"]


def test_the_mistake_of_the_page_is_shown_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = pasted(tmp_path / "posters")
    monkeypatch.chdir(project.root)
    config = (project.root / "trigger.config.toml").read_text()
    project.write("trigger.config.toml", config.replace("fonts-inter", "inter"))
    assert main(["deploy", "--dry-run"]) == 2
    said = capfd.readouterr().err
    (block,) = re.findall(r"is an error at its place:\n\n(.*?)\n\n", TUTORIAL, re.DOTALL)
    for line in block.splitlines():
        assert line.strip() in [each.strip() for each in said.splitlines()]


def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    project = pasted(tmp_path / "posters")
    (project.root / "pytest.ini").write_text("[pytest]\n")
    answer = run_pytest(project.root)
    assert "1 passed" in answer.stdout, answer.stdout + answer.stderr


def test_every_link_of_the_pages_exists() -> None:
    for text in (REFERENCE, TUTORIAL):
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
            page = (DOCS / target).read_text("utf-8") if target else text
            headings = {
                re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-")
                for each in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
            }
            assert not anchor or anchor in headings, (target, anchor)


def test_the_default_time_of_a_hook_is_the_one_that_is_documented(filled: Project) -> None:
    filled.config()
    assert load_config(filled.root, env_name="prod", environ={}).config.build.hook_timeout == 600
    assert "`build.hook_timeout` (10 minutes)" in REFERENCE
