"""The built-in extensions: the Containerfile that each makes, and which options it refuses."""

import os
import re
from pathlib import Path

import pytest

from tests.build.support import Project, ids, layer_of, toml
from tests.build.test_containerfile import check
from triggerdev import errors
from triggerdev.build import explain
from triggerdev.extensions import BUILT_IN, downloads

GOLDEN = Path(__file__).parent / "golden" / "extensions"
SCHEMA = 'generator client {\n  provider = "prisma-client-py"\n}\n'
CASES = {
    "additional-files": '[build.extensions.additional-files]\nfiles = ["assets/**"]\n',
    "additional-packages": "[build.extensions.additional-packages]\n"
    'packages = ["prettier@3.6.2", "@scope/tool@1.0.0", "pip:yt-dlp==2025.1.15"]\n',
    "apt-get": '[build.extensions.apt-get]\npackages = ["git", "curl=7.88.1-10+deb12u14", "git"]\n',
    "audio-waveform": "[build.extensions.audio-waveform]\n",
    "ffmpeg": "[build.extensions.ffmpeg]\n",
    "ffmpeg-7": '[build.extensions.ffmpeg]\nversion = "7"\n',
    "ffmpeg-7.1": '[build.extensions.ffmpeg]\nversion = "7.1"\n',
    "lightpanda": "[build.extensions.lightpanda]\ndisable_telemetry = true\n",
    "playwright": '[build.extensions.playwright]\nversion = "1.49.0"\n',
    "playwright-all": "[build.extensions.playwright]\n"
    'version = "1.49.0"\nheadless = false\nbrowsers = ["webkit", "chromium", "firefox"]\n',
    "playwright-debian": '[build.extensions.playwright]\nversion = "1.49.0"\nchannel = "debian"\n',
    "prisma": "[build.extensions.prisma]\n"
    'schema = "prisma/schema.prisma"\nversion = "0.15.0"\nmigrate = true\nclient_generator = "client"\n',
    "puppeteer": "[build.extensions.puppeteer]\n",
    "puppeteer-debian": '[build.extensions.puppeteer]\nchannel = "debian"\n',
    "python": "[build.extensions.python]\n"
    'scripts = ["scripts/*.py"]\nrequirements = ["pandas>=2", "six==1.17.0"]\n',
    "python-file": '[build.extensions.python]\nrequirements_file = "python/requirements.txt"\n',
    "sync-env-vars": '[build.extensions.sync-env-vars]\ncallback = "envs:sync"\n',
}


@pytest.fixture
def filled(project: Project) -> Project:
    """A project with the files that the cases name."""
    project.write("assets/a.txt", "a")
    project.write("scripts/report.py", "print(1)\n")
    project.write("python/requirements.txt", "-r more/other.txt\nsix==1.17.0\n")
    project.write("python/more/other.txt", "idna==3.10\n")
    project.write("prisma/schema.prisma", SCHEMA)
    project.write("prisma/migrations/1/migration.sql", "SELECT 1;\n")
    project.write("envs.py", "def sync(ctx):\n    return {'URL': 'https://example.com'}\n")
    return project


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_containerfile_of_an_extension_is_as_it_was(filled: Project, name: str) -> None:
    filled.config(CASES[name])
    text = filled.containerfile()
    path = GOLDEN / f"{name}.Containerfile"
    if os.environ.get("WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def test_every_extension_has_a_golden_containerfile() -> None:
    node = {"emit-decorator-metadata", "esbuild-plugin"}
    covered = {name for text in CASES.values() for name in re.findall(r"extensions\.([a-z-]+)\]", text)[:1]}
    assert covered == set(BUILT_IN) - node


def test_an_extension_does_nothing_to_the_image_in_dev(filled: Project) -> None:
    for name, text in CASES.items():
        if name not in ("additional-files", "apt-get", "sync-env-vars"):
            filled.config(text)
            layers = [each.layer for each in filled.outcome("dev").contributions]
            assert not any(layer.commands or layer.image.pkgs for layer in layers), name


def test_variables_of_an_image_are_in_it_and_in_the_environment(filled: Project) -> None:
    filled.config(CASES["ffmpeg"])
    assert "ENV FFMPEG_PATH=" in filled.containerfile()
    assert filled.outcome().variables({"FFMPEG_PATH": "/elsewhere"})["FFMPEG_PATH"] == "/usr/bin/ffmpeg"


# -- options at their place


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        (
            "[build.extensions.ffmpeg]\nversion = '6'",
            3,
            "no pinned download of ffmpeg '6'; there are 7.0.2 (also 7, 7.0), 7.1; without the option it is",
        ),
        ("[build.extensions.ffmpeg]\nversion = 7", 3, "Input should be a valid string (it is 7)"),
        ("[build.extensions.audio-waveform]\nversion = '1.1.0'", 3, "there are 1.10.1 (also latest)"),
        ("[build.extensions.lightpanda]\nversion = 'nightly'", 3, "there are 1.0.2 (also latest, 1)"),
        ("[build.extensions.playwright]\nbrowsers = ['chromium',\n'opera']", 4, "(it is 'opera')"),
        ("[build.extensions.playwright]\nbrowsers = []", 3, "at least 1 item"),
        ("[build.extensions.playwright]\nchannel = 'beta'", 3, "Input should be 'debian' (it is 'beta')"),
        ("[build.extensions.playwright]\nversion = '1; rm'", 3, "(it is '1; rm')"),
        ("[build.extensions.prisma]", 2, "needs the option 'schema'"),
        ("[build.extensions.prisma]\nschema = 'x'\ntyped_sql = true", 4, "belongs to @prisma/client"),
        ("[build.extensions.prisma]\nschema = 'x'\nmode = 'modern'", 4, "'modern' belongs to @prisma/client"),
        ("[build.extensions.prisma]\nschema = 'x'\nnode = '18'", 4, "there are 22.20.0 (also 22)"),
        ("[build.extensions.python]\nrequirements = ['-r x']", 3, "'-r x' is no requirement"),
        (
            "[build.extensions.python]\nrequirements = ['x']\nrequirements_file = 'y'",
            2,
            "cannot both be set",
        ),
        ("[build.extensions.additional-packages]\npackages = ['a b']", 3, "'a b' is no package: write"),
        ("[build.extensions.additional-packages]\npackages = ['pip:-x']", 3, "'pip:-x' is no package"),
        ("[build.extensions.puppeteer]\nversions = '1'", 3, "has no option 'versions'"),
        ("[build.extensions.sync-env-vars]\ncallback = 'envs'", 3, "expected a reference"),
    ],
)
def test_a_wrong_option_is_shown_at_its_place(filled: Project, table: str, line: int, message: str) -> None:
    filled.config(f"{table}\n")
    with pytest.raises(errors.ConfigError) as caught:
        filled.outcome()
    (problem,) = caught.value.diagnostics
    assert message in problem.message
    assert problem.line == line


def refusal(project: Project) -> str:
    """What is said of a hook that refuses the project, and where."""
    with pytest.raises(errors.ExtensionError) as caught:
        project.outcome()
    assert re.search(
        r"asked for by \[build\.extensions\.[\w-]+\] at \S+trigger\.config\.toml:\d+$", str(caught.value)
    )
    return str(caught.value)


def test_a_platform_without_a_pinned_download_is_refused(filled: Project) -> None:
    filled.config('[build]\nplatforms = ["linux/arm64"]\n[build.extensions.audio-waveform]\n')
    said = refusal(filled)
    assert "audiowaveform 1.10.1 has no pinned download for linux/arm64, only for linux/amd64" in said


def test_debians_channel_has_chromium_only(filled: Project) -> None:
    filled.config(
        "[build.extensions.playwright]\nversion = '1.49.0'\nchannel = 'debian'\nbrowsers = ['firefox']\n"
    )
    assert 'channel = "debian" has chromium only, not firefox' in refusal(filled)


@pytest.mark.parametrize("pin", ["playwright==1.49.0", "playwright[x] == 1.49.0 ; python_version > '3'"])
def test_the_version_of_playwright_is_that_of_the_project(filled: Project, pin: str) -> None:
    filled.config(f"[build]\ndependencies = [{toml(pin)}]\n[build.extensions.playwright]\n")
    assert "playwright==1.49.0" in "".join(filled.layer("playwright")["commands"])
    filled.config(
        f"[build]\ndependencies = [{toml(pin)}]\n[build.extensions.playwright]\nversion = '1.50.0'\n"
    )
    assert "version is '1.50.0', but the project's dependencies pin playwright to 1.49.0" in refusal(filled)


def test_a_project_that_says_no_version_is_asked_for_one(filled: Project) -> None:
    filled.config("[build.extensions.playwright]\n")
    assert 'add "playwright==..." to its dependencies, or set the option version' in refusal(filled)


def test_the_library_is_pinned_to_the_version_of_its_browsers(filled: Project) -> None:
    filled.config(CASES["playwright"])
    assert "playwright==1.49.0" in filled.layer("dependencies")["packages"]


@pytest.mark.parametrize(
    ("schema", "message"),
    [("none.prisma", "there is no Prisma schema at 'none.prisma'"), ("assets", "has no .prisma files")],
)
def test_a_prisma_schema_that_is_not_there_is_named(filled: Project, schema: str, message: str) -> None:
    filled.config(f"[build.extensions.prisma]\nversion = '0.15.0'\nschema = '{schema}'\n")
    assert message in refusal(filled)


def test_an_older_playwright_has_no_shell_of_its_own(filled: Project) -> None:
    for version, has_shell in (("1.48.0", False), ("1.49.0", True), ("1.100.2", True)):
        filled.config(f"[build.extensions.playwright]\nversion = '{version}'\n")
        assert ("--only-shell" in "".join(filled.layer("playwright")["commands"])) is has_shell


def test_a_prisma_schema_may_be_a_folder(filled: Project) -> None:
    filled.write("prisma/more/user.prisma", "model User {\n  id Int @id\n}\n")
    filled.config("[build.extensions.prisma]\nversion = '0.15.0'\nschema = 'prisma'\n")
    layer = filled.layer("prisma")
    assert layer["files"] == ["/app/prisma/more/user.prisma", "/app/prisma/schema.prisma"]
    assert "--schema=/app/prisma" in layer["commands"][0]


def test_migrations_are_in_the_image_and_run_by_the_deploy(filled: Project) -> None:
    filled.config(CASES["prisma"] + 'direct_url_env_var_name = "DIRECT_URL"\n')
    made = filled.plan()
    layer = layer_of(made.document, "prisma")
    assert "/app/prisma/migrations/1/migration.sql" in layer["files"]
    assert not any("migrate" in command for command in layer["commands"])
    (deploy,) = [each.layer.deploy for each in made.outcome.contributions if each.layer.id == "prisma"]
    assert deploy.commands == ["python -m prisma migrate deploy --schema=/app/prisma/schema.prisma"]
    assert deploy.secrets == ["DATABASE_URL", "DIRECT_URL"]
    assert made.document["deploy_commands"] == [
        {"extension": "prisma", "command": deploy.commands[0], "secrets": deploy.secrets}
    ]
    assert f"prisma  {deploy.commands[0]}  with DATABASE_URL, DIRECT_URL" in "\n".join(
        explain.lines(made.document, "")
    )


def test_scripts_are_files_in_dev_and_in_the_image(filled: Project) -> None:
    filled.write("scripts/data.txt", "1")
    filled.config('[build.extensions.python]\nscripts = ["scripts/**"]\n')
    assert "/app/scripts/data.txt" in filled.layer("python-scripts")["files"]
    assert [entry.destination for entry in filled.outcome("dev").files] == [
        "/app/scripts/data.txt",
        "/app/scripts/report.py",
    ]
    assert "python" not in ids(filled.plan().document)


def test_the_interpreter_of_dev_is_relative_to_the_project(filled: Project) -> None:
    for chosen, expected in (
        (".venv/bin/python", str(filled.root / ".venv/bin/python")),
        ("python3", "python3"),
    ):
        filled.config(f'[build.extensions.python]\ndev_python_binary_path = "{chosen}"\n')
        assert filled.outcome("dev").variables({})["PYTHON_BIN_PATH"] == expected
        assert filled.outcome("deploy").variables({}) == {}


def test_the_version_of_scripts_is_that_of_the_runtime(filled: Project) -> None:
    filled.config("[build.extensions.python]\nversion = '3.9'\n")
    assert (
        "version is '3.9', but in Python projects scripts run in the Python of the runtime (python)"
        in refusal(filled)
    )
    filled.write(
        "trigger.config.toml",
        'project = "demo"\nruntime = "python-3.12"\n[build.extensions.python]\nversion = "3.12"\n',
    )
    assert filled.outcome().contributions == ()


def test_requirements_files_outside_of_the_project_are_refused(filled: Project) -> None:
    filled.write("python/requirements.txt", "-r ../../other.txt\n")
    filled.config(CASES["python-file"])
    assert "python/requirements.txt includes '../other.txt', which is outside the project" in refusal(filled)


def test_tools_get_the_version_that_is_installed_here(filled: Project) -> None:
    filled.write("node_modules/@scope/tool/package.json", '{"version": "4.5.6"}')
    filled.write("node_modules/broken/package.json", '{"version": "1; rm -rf /"}')
    filled.config(
        '[build.extensions.additional-packages]\npackages = ["@scope/tool", "broken", "pip:pytest"]\n'
    )
    outcome = filled.outcome()
    commands = "".join(each for layer in outcome.contributions for each in layer.layer.commands)
    assert "-- @scope/tool@4.5.6 broken@latest" in commands
    assert f"pytest=={pytest.__version__}" in commands
    assert outcome.warnings == (
        "additional-packages: broken is not pinned and not installed here, so the image gets the newest: "
        'write "broken@..."',
    )


# -- the table of downloads


def test_every_download_is_pinned_for_each_architecture() -> None:
    for each in downloads.TABLE:
        assert each.sha256.keys() <= {"amd64", "arm64"}
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in each.sha256.values())
        assert each.read_from
        assert bool(each.urls) != bool(each.wheel)
        assert all(url.startswith("https://") for url in each.urls)
    for (name, _), version in downloads.ALIASES.items():
        assert downloads.version_of(name)(version) == version


def test_defaults_are_versions_of_the_table(filled: Project) -> None:
    for name in ("audio-waveform", "lightpanda"):
        filled.config(f"[build.extensions.{name}]\n")
        assert filled.outcome().contributions


def test_no_line_of_their_containerfiles_is_of_another_form() -> None:
    for path in GOLDEN.glob("*.Containerfile"):
        check(path.read_text("utf-8"))
