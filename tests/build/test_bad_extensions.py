"""Extensions that fail, hang, lie or share a name: who it was and where is said, and nothing is left."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.support import Project
from triggerdev import errors
from triggerdev.cli.main import main

PLACE = r"it is asked for by \[build\.extensions\.mine\] at trigger\.config\.toml:4"
HANGING = {
    "by holding the thread": "import threading; threading.Event().wait()",
    "by computing": "import os\n        while not os.path.exists('stop'): pass",
    "by awaiting": "import asyncio; await asyncio.Event().wait()",
    "by refusing to be cancelled": (
        "import asyncio\n"
        "        while True:\n"
        "            try:\n"
        "                await asyncio.Event().wait()\n"
        "            except asyncio.CancelledError:\n"
        "                pass"
    ),
}
LYING = {
    "a list of other things": ("externals_for_target", "return [1]", "must give a list of names, not [1]"),
    "a text for a list": ("externals_for_target", "return 'x'", "must give a list of names, not 'x'"),
    "something in place of a layer": (
        "on_build_complete",
        "a[0].layers.append('a layer')",
        "a layer is a BuildLayer or a mapping, not str",
    ),
    "a layer that is changed after it was checked": (
        "on_build_complete",
        "from triggerdev.build import BuildLayer; l = BuildLayer(id='x'); a[0].add_layer(l); "
        "l.commands.append('')",
        "layer 'x': commands.0: a command must not be empty",
    ),
    "a package that is put in afterwards": (
        "on_build_complete",
        "from triggerdev.build import BuildLayer; l = BuildLayer(id='x'); a[0].add_layer(l); "
        "l.image.pkgs.append('-o Dir::Etc=/tmp')",
        "layer 'x': image.pkgs.0: '-o Dir::Etc=/tmp' is no package",
    ),
    "a file that is not there": (
        "on_build_complete",
        "a[0].add_layer({'id': 'x', 'files': {'/app/x': 'never.txt'}})",
        "extension 'mine', layer 'x': nothing matches 'never.txt'",
    ),
    "a success": ("on_build_start", "raise SystemExit(0)", "on_build_start failed: SystemExit: 0"),
    "an interrupt": ("on_build_start", "raise KeyboardInterrupt", ""),
}


@pytest.fixture
def there(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project in whose folder the command runs, and which has been planned before."""
    monkeypatch.chdir(project.root)
    yield project
    project.write("stop")
    for name in ("Containerfile", "build.json"):
        assert not list(project.root.rglob(name)), "a half image is left"
    assert not list(project.root.rglob("*.tmp"))
    assert not list((project.root / ".trigger" / "deployments").rglob("*.json"))


def use(project: Project, hook: str, body: str, kind: str = "async def") -> None:
    project.write("ext.py", f"class X:\n    {kind} {hook}(self, *a):\n        {body}\n")
    project.config('[build]\nhook_timeout = "200ms"\n[build.extensions.mine]\nuse = "./ext.py:X"\n')


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, which must fail, and give what it says."""
    assert main(["deploy", *arguments]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--builder", "oci"]], ids=["dry run", "deploy"])
@pytest.mark.parametrize("hook", ["externals_for_target", "on_build_start", "on_build_complete"])
def test_a_hook_that_raises_names_itself_its_line_and_its_place(
    there: Project, capfd: pytest.CaptureFixture[str], hook: str, arguments: list[str]
) -> None:
    use(there, hook, "raise RuntimeError('no luck')")
    said = refused(capfd, *arguments)
    assert f"extension 'mine': {hook} failed: RuntimeError: no luck (ext.py:3)" in said
    assert re.search(PLACE, said)


@pytest.mark.parametrize("how", sorted(HANGING))
@pytest.mark.parametrize("hook", ["externals_for_target", "on_build_start", "on_build_complete"])
def test_a_hook_that_hangs_is_given_up_and_says_where_it_was(
    there: Project, capfd: pytest.CaptureFixture[str], hook: str, how: str
) -> None:
    use(there, hook, HANGING[how], "async def" if "await " in HANGING[how] else "def")
    said = refused(capfd, "--dry-run")
    assert f"extension 'mine': {hook} did not end within 0.2 s" in said
    if how != "by refusing to be cancelled":
        assert re.search(r"\(it is at ext\.py:[34]\)", said)
    assert "build.hook_timeout says how long it may take" in said
    assert re.search(PLACE, said)


@pytest.mark.parametrize(
    "text",
    [
        "import threading\n\n\ndef make():\n    threading.Event().wait()\n",
        "import threading\n\ndone = threading.Event()\n\ndone.wait()\nmake = object\n",
    ],
    ids=["made", "imported"],
)
def test_an_extension_that_hangs_while_it_is_loaded_is_given_up(
    there: Project, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    there.write("ext.py", text)
    there.config('[build]\nhook_timeout = "200ms"\n[build.extensions.mine]\nuse = "./ext.py:make"\n')
    said = refused(capfd, "--dry-run")
    assert "extension 'mine': loading did not end within 0.2 s (it is at ext.py:5)" in said
    assert "[build.extensions.mine] at " in said


@pytest.mark.parametrize("lie", sorted(set(LYING) - {"an interrupt"}))
def test_an_extension_that_lies_is_found_out(
    there: Project, capfd: pytest.CaptureFixture[str], lie: str
) -> None:
    hook, body, message = LYING[lie]
    use(there, hook, body, "def")
    said = refused(capfd, "--dry-run")
    assert message in said
    assert "extension 'mine'" in said


def test_an_interrupt_is_one_in_a_hook_as_well(there: Project) -> None:
    use(there, "on_build_start", "raise KeyboardInterrupt", "def")
    with pytest.raises(KeyboardInterrupt):
        there.outcome()


def install(folder: Path, distribution: str, value: str) -> None:
    """Install a distribution with an extension called "mine" into a folder."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[triggerdev.extensions]\nmine = {value}\n")
    body = "    def on_build_start(self, c):\n        c.add_layer({'id': 'x', 'commands': ['true']})\n"
    (folder / f"{value.partition(':')[0]}.py").write_text(f"class X:\n{body}")


def test_an_installed_distribution_brings_an_extension(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path / "site", "acme-mine", "acme_mine:X")
    monkeypatch.syspath_prepend(tmp_path / "site")
    project.config("[build.extensions.mine]\n")
    assert [each.extension for each in project.outcome().contributions] == ["mine"]
    project.config("[build.extensions.min]\n")
    with pytest.raises(errors.ConfigError) as caught:
        project.outcome()
    assert caught.value.diagnostics[0].help == "did you mean 'mine'?"


def test_two_installed_extensions_of_one_name_are_an_error_that_names_both(
    there: Project,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for module in ("first", "second"):
        install(tmp_path / module, f"acme-{module}", f"{module}:X")
        monkeypatch.syspath_prepend(tmp_path / module)
    there.config("\n[build.extensions.mine]\n")
    said = refused(capfd, "--dry-run")
    assert "two installed extensions have the name 'mine'" in said
    assert "acme-first (first:X) and acme-second (second:X)" in said
    assert re.search('use = "(first|second):X"', said)
    assert "trigger.config.toml:3" in said


def test_two_layers_of_one_id_name_both_extensions(there: Project, capfd: pytest.CaptureFixture[str]) -> None:
    body = "        c.add_layer({'id': 'x', 'commands': ['true']})\n"
    there.write("ext.py", f"class X:\n    def on_build_complete(self, c, m):\n{body}")
    there.config("".join(f'[build.extensions.{name}]\nuse = "./ext.py:X"\n' for name in ("one", "two")))
    said = refused(capfd, "--dry-run")
    assert "'x': one of extension 'one' and one of extension 'two'" in said


def test_a_failure_leaves_the_plan_of_before_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    before = project.containerfile()
    use(project, "on_build_complete", "raise RuntimeError('no luck')")
    assert main(["deploy", "--dry-run"]) == 1
    assert (project.root / ".trigger/build/prod/Containerfile").read_text("utf-8") == before
    assert sorted(path.name for path in (project.root / ".trigger/build").iterdir()) == ["prod"]


def test_a_timeout_of_the_hook_itself_is_not_ours(project: Project) -> None:
    use(project, "on_build_start", "raise TimeoutError('of my own')")
    with pytest.raises(
        errors.ExtensionError, match=r"on_build_start failed: TimeoutError: of my own \(ext\.py:3\)"
    ):
        project.outcome()


def test_files_of_the_seed_are_untouched(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    project.write("trigger/hello.py", "x = 1\n")
    use(project, "on_build_start", "raise RuntimeError")
    with pytest.raises(errors.ExtensionError):
        project.outcome()
    assert sorted(path.name for path in project.root.iterdir()) == [
        "ext.py",
        "trigger",
        "trigger.config.toml",
    ]
