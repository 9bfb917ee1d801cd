"""`trigger deploy --dry-run` as a command: what it prints, what it leaves, how it ends."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.build.support import TASK, Project, ids, layer_of
from triggerdev.build import document
from triggerdev.cli.main import main

REPOSITORY = Path(__file__).parents[2]
SEED = REPOSITORY / "tests" / "projects" / "seed"


@pytest.fixture
def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The seed project in a folder of its own, which is the working folder."""
    folder = tmp_path / "seed"
    shutil.copytree(SEED, folder)
    monkeypatch.chdir(folder)
    return folder


def run(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process, with little in its environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "triggerdev", *arguments],
        env={**kept, "PYTHONPATH": str(REPOSITORY), **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_seed_project_runs_as_it_is(seed: Path) -> None:
    done = run("deploy", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert ids(plan) == ["base", "apt-get", "dependencies", "runtime", "banner", "additional-files", "source"]
    assert layer_of(plan, "apt-get")["packages"] == ["curl", "imagemagick"]
    banner = layer_of(plan, "banner")
    assert banner["files"] == ["/app/custom/fonts.json"]
    assert banner["commands"] == ["chmod 0644 /app/custom/fonts.json"]
    assert [variable["name"] for variable in plan["env"]] == ["API_URL", "BANNER", "SECRET_KEY"]
    assert {variable["change"] for variable in plan["env"]} == {"unknown"}
    tasks = {task["id"]: task for task in plan["tasks"]}
    assert tasks["daily-report"]["schedule"] == {"cron": "0 9 * * *", "timezone": "UTC", "environments": None}
    assert tasks["send-email"]["queue"] == "email-processing"
    assert tasks["process-data"]["file"] == "trigger/basic.py"
    assert (plan["version"], plan["warnings"], plan["build_dir"]) == (1, [], ".trigger/build/prod")
    for secret in ("s3cr3t", "api.prod.example"):
        assert secret not in done.stdout + done.stderr
        left = [
            path for path in (seed / ".trigger").rglob("*") if path.is_file() and "source" not in path.parts
        ]
        assert not any(secret in path.read_text("utf-8") for path in left)
    assert (seed / plan["build_dir"] / "layers/banner/app/custom/fonts.json").read_bytes() == (
        SEED / "assets/fonts.json"
    ).read_bytes()
    assert sorted(path.name for path in (seed / plan["build_dir"]).iterdir()) == [
        "Containerfile",
        "build.json",
        "layers",
    ]


def test_people_read_the_same_in_columns(seed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert re.search(r"^runtime  python\nbase     python:3.12-slim-bookworm$", out, re.MULTILINE)
    assert re.search(r"^  \+  daily-report +trigger/basic.py:\d+ +0 9 \* \* \* UTC$", out, re.MULTILINE)
    assert re.search(
        r"^  banner +banner +/app/custom/fonts.json; chmod .*BANNER +21 B +[0-9a-f]{12}  to be", out, re.M
    )
    assert re.search(r"^  \?  SECRET_KEY$", out, re.MULTILINE)
    assert "Build folder  .trigger/build/prod\nTotal         7 layers (0 cached, 7 to be built)" in out


def test_each_environment_has_a_build_folder_of_its_own(seed: Path) -> None:
    assert main(["deploy", "--dry-run", "--env", "staging"]) == 0
    assert (seed / ".trigger/build/staging/Containerfile").is_file()
    assert main(["deploy", "--dry-run", "--env", "../../x"]) == 2
    assert not (seed.parent / "x").exists()


def test_debug_shows_hooks_and_reasons_on_stderr(seed: Path) -> None:
    done = run("deploy", "--dry-run", "--json", "--log-level", "debug")
    assert json.loads(done.stdout)["version"] == 1
    assert "banner: Build starting for deploy" in done.stderr
    assert re.search(r"debug  banner: on_build_complete took [\d.]+ ms", done.stderr)
    assert "plan: layer source: build, it was never built here" in done.stderr


def test_what_extensions_and_tasks_print_does_not_reach_stdout(tmp_path: Path) -> None:
    project = Project(tmp_path / "noisy")
    project.write("trigger/hello.py", "print('task noise')\n" + TASK)
    project.extension(
        "import os; print('hook noise'); os.write(1, b'more noise\\n'); os.system('echo child noise')"
    )
    done = run("deploy", str(project.root), "--dry-run", "--json")
    assert json.loads(done.stdout)["version"] == 1
    assert "child noise" in done.stderr


def test_neither_network_nor_secrets_are_used(seed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the dry run has no business with sockets")

    (seed / "trigger" / "needy.py").write_text(
        "import os\nassert 'MY_SECRET' not in os.environ and 'TRIGGER_SECRET_KEY' not in os.environ\n"
    )
    (seed / ".env").write_text("MY_SECRET=hunter2-text\n")
    monkeypatch.setenv("TRIGGER_SECRET_KEY", "tr_dev_x")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert main(["deploy", "--dry-run"]) == 0


def test_env_files_are_known_to_extensions(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = Project(tmp_path / "p")
    project.write("trigger/hello.py", TASK)
    project.write("more.env", "COLOUR=red\nAPI_TOKEN=hunter2-text\n")
    project.extension(
        "context.logger.info(sorted(context.env), context.env['COLOUR'], context.env['API_TOKEN'])"
    )
    arguments = ["deploy", str(project.root), "--dry-run", "--log-level", "info"]
    assert main([*arguments, "--env-file", str(project.root / "more.env")]) == 0
    assert "['API_TOKEN', 'COLOUR'] red ***" in capfd.readouterr().err


# -- how it ends when a build could not start -----------------------------------------------------------


def end(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: Sequence[str] = ("--dry-run",)
) -> tuple[int, str]:
    code = main(["deploy", "--config", str(folder), *arguments])
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return code, err


def test_without_an_engine_a_deploy_says_what_needs_one(
    seed: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{seed}/none.sock")
    code, err = end(seed, capfd, ["--builder", "docker"])
    assert code == 1
    assert "does not answer" in err
    assert not list((seed / ".trigger").rglob("2*.json"))


@pytest.mark.parametrize(
    ("files", "config", "code", "message"),
    [
        ({"trigger/hello.py": "x = 1\n"}, "", 1, "no tasks found in ./trigger"),
        ({"trigger/hello.py": "import nothing_like_this\n"}, "", 1, "trigger/hello.py:1"),
        ({"trigger/hello.py": "def f(:\n"}, "", 1, "trigger/hello.py:1"),
        ({}, '[hooks]\non_start = "trigger.hello:nothing"\n', 2, "trigger.config.toml:3:12"),
        (
            {},
            '[build.extensions.sync-env-vars]\ncallback = "trigger.hello:no"\n',
            2,
            "trigger.config.toml:3:12",
        ),
        ({}, "[build.extensions.fmpeg]\n", 2, "trigger.config.toml:2:19"),
        ({}, 'runtime = "node"\n', 2, "images for the runtime 'node' are not part of this version"),
        ({}, '[build]\nbase_image = "-x"\n', 2, "trigger.config.toml:3:14"),
        ({}, '[build.extensions.additional-files]\nfiles = ["none/**"]\n', 1, "nothing matches 'none/**'"),
        ({".trigger/build": ""}, "", 1, "cannot write the build folder"),
    ],
)
def test_what_keeps_a_build_from_starting_is_said(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    files: dict[str, str],
    config: str,
    code: int,
    message: str,
) -> None:
    project = Project(tmp_path / "p")
    for name, text in {"trigger/hello.py": TASK, **files}.items():
        project.write(name, text)
    project.config(config)
    found, err = end(project.root, capfd)
    assert found == code, err
    assert message in err


def test_hostile_names_cannot_drive_a_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = Project(tmp_path / "p")
    project.write("trigger/hello.py", TASK)
    project.extension(
        'context.logger.warn("\\x1b[2J[red]x[/red]")',
        'context.add_layer({"id": "a", "commands": ["\\x1b[31m"]})',
    )
    assert main(["deploy", str(project.root), "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    assert "[red]x[/red]" in out


# -- what is published --------------------------------------------------------------------------------------


def test_the_published_schema_is_that_of_the_document() -> None:
    published = json.loads((REPOSITORY / "docs" / "deploy-plan.schema.json").read_text("utf-8"))
    assert published == document.json_schema()
    assert set(published["properties"]) == set(document.PlanDocument.model_fields)
    assert published["additionalProperties"] is False


BLOCK = re.compile(r"^```\w+\n# file: (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_documentation_run(project: Project) -> None:
    text = (REPOSITORY / "docs" / "extensions.md").read_text("utf-8")
    blocks = dict(BLOCK.findall(text))
    assert len(blocks) == 4
    for name, content in blocks.items():
        project.write(name, content)
    for name in ("assets/banner.txt", "fonts/inter.ttf"):
        project.write(name, name)
    made = project.plan()
    assert ids(made.document) == [
        *("base", "apt-get", "dependencies", "runtime", "banner", "revision"),
        *("additional-files", "source"),
    ]
    assert layer_of(made.document, "apt-get")["packages"] == ["curl", "figlet", "imagemagick"]
    assert [each.name for each in made.outcome.env] == ["API_TOKEN", "API_URL", "BANNER"]
    assert made.outcome.externals == ("figlet_native",)
    assert len(made.document["warnings"]) == 1  # the optional fixtures are not there


def test_importing_the_sdk_or_the_build_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, triggerdev, triggerdev.build, triggerdev.extensions, triggerdev.build.tokens; "
        "print(sorted({'pydantic', 'jinja2', 'pathspec', 'typer', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
