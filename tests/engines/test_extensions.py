"""Built-in extensions in real images: what they bring works there, as the user that tasks run as."""

import json
from typing import Any

import httpx

from tests.engines.projects import Project


def inside(project: Project, deployed: dict[str, Any], script: str, *options: str) -> str:
    """Run a shell script in a deployed image, without a network, and give what it prints."""
    reference = deployed["image"]["reference"]
    return project.engine.docker(
        *("run", "--rm", "--network=none", *options, "--entrypoint=/bin/sh", reference, "-euc", script)
    )


def python(project: Project, deployed: dict[str, Any], code: str) -> str:
    """Run Python code in a deployed image as a task would."""
    return inside(project, deployed, 'exec /opt/venv/bin/python -c "$CODE"', "--env", f"CODE={code}")


TRANSCODE = (
    '"$FFMPEG_PATH" -v error -f lavfi -i testsrc=d=1:s=64x64 -c:v libx264 /tmp/a.mp4 && '
    '"$FFPROBE_PATH" -v error -show_entries stream=codec_name -of csv=p=0 /tmp/a.mp4'
)


def test_ffmpeg_from_debian_makes_a_video(project: Project) -> None:
    project.config("[build.extensions.ffmpeg]\n")
    deployed = project.deploy()
    assert inside(project, deployed, TRANSCODE) == "h264"


def test_a_pinned_ffmpeg_makes_a_video(project: Project) -> None:
    project.config('[build.extensions.ffmpeg]\nversion = "7.1"\n')
    deployed = project.deploy()
    assert inside(project, deployed, TRANSCODE) == "h264"
    assert inside(project, deployed, "ffmpeg -version").startswith("ffmpeg version n7.1 ")


def test_scripts_have_their_own_requirements_and_see_the_projects(project: Project) -> None:
    project.write("python/requirements.txt", "-r more/other.txt\n")
    project.write("python/more/other.txt", "six==1.16.0\n")
    project.write("scripts/report.py", "import hello, httpx, six; print(six.__version__, hello.NAME)\n")
    project.write("hello.py", 'NAME = "Ada"\n')
    project.config(
        "[build.extensions.python]\n"
        'scripts = ["scripts/*.py"]\nrequirements_file = "python/requirements.txt"\n'
    )
    deployed = project.deploy()
    code = "from triggerdev import python; print(python.sync.run_script('scripts/report.py').stdout)"
    assert python(project, deployed, code) == "1.16.0 Ada"
    ask = "['-c', 'import sys; print(sys.prefix)']"
    code = f"from triggerdev import python; print(python.sync.run({ask}).stdout)"
    assert python(project, deployed, code) == "/opt/extensions/python"


def test_tools_of_npm_and_of_pypi_are_commands(project: Project) -> None:
    project.config('[build.extensions.additional-packages]\npackages = ["semver@7.6.3", "pip:cowsay==6.1"]\n')
    deployed = project.deploy()
    assert inside(project, deployed, "semver 1.2.3 --increment minor") == "1.3.0"
    assert "hello" in inside(project, deployed, "cowsay -t hello")


COMMIT = "393aa359c9ad4a4bb28630fb5613f9c281cde053"
SCHEMA = """\
generator client {
  provider             = "prisma-client-py"
  recursive_type_depth = 5
}

datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model User {
  id    Int    @id
  email String @unique
}
"""


def test_the_client_of_prisma_is_generated_in_the_image(project: Project) -> None:
    project.write("prisma/schema.prisma", SCHEMA)
    for name in ("query", "schema"):  # generating needs that they are there, and not what they do
        project.write(f"engines/{name}", f"#!/bin/sh\necho {name}-engine {COMMIT}\n")
        (project.root / "engines" / name).chmod(0o755)
    engines = 'query_engine = "engines/query"\nschema_engine = "engines/schema"\n'
    project.config(
        f'[build.extensions.prisma]\nschema = "prisma/schema.prisma"\n{engines}',
        build='dependencies = ["prisma==0.15.0"]',
    )
    deployed = project.deploy()
    code = "from prisma.models import User; print(sorted(User.model_fields))"
    assert python(project, deployed, code) == "['email', 'id']"


SHOT = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    for options in ({}, {"channel": "chromium"}):
        browser = playwright.chromium.launch(**options)
        page = browser.new_page(viewport={"width": 320, "height": 200})
        page.set_content("<h1 style='color: red'>hello</h1>")
        print(page.screenshot()[:4] == b"\\x89PNG", page.inner_text("h1"))
        browser.close()
"""


def test_playwright_takes_a_screenshot_with_debians_chromium(project: Project) -> None:
    project.config(
        '[build.extensions.playwright]\nchannel = "debian"\n', build='dependencies = ["playwright==1.49.1"]'
    )
    deployed = project.deploy()
    assert python(project, deployed, SHOT) == "True hello\nTrue hello"


def test_lightpanda_is_there(project: Project) -> None:
    project.config("[build.extensions.lightpanda]\ndisable_telemetry = true\n")
    deployed = project.deploy()
    assert (
        inside(project, deployed, 'echo "$(lightpanda version) $LIGHTPANDA_DISABLE_TELEMETRY"')
        == "1.0.2 true"
    )


def test_puppeteers_browser_from_debian_is_there(project: Project) -> None:
    project.config('[build.extensions.puppeteer]\nchannel = "debian"\n')
    deployed = project.deploy()
    said = inside(project, deployed, '"$PUPPETEER_EXECUTABLE_PATH" --version')
    assert said.startswith("Chromium ")


def test_files_are_where_they_were_asked_for(project: Project) -> None:
    project.write("assets/a.txt", "a\n")
    project.config(
        "[build.extensions.additional-files]\n"
        'files = ["assets/**", { source = "assets/a.txt", destination = "/srv/b.txt" }]\n'
    )
    assert inside(project, project.deploy(), "cat assets/a.txt /srv/b.txt") == "a\na"


RELEASE = """\
class Release:
    def on_build_complete(self, context, manifest):
        context.add_layer({"id": "release", "deploy": {"commands": [%r], "secrets": ["TOKEN"]}})
"""


def release(project: Project, command: str) -> None:
    project.write("ext.py", RELEASE % command)
    project.config('[build.extensions.release]\nuse = "./ext.py:Release"\n')


def test_commands_of_the_deploy_run_in_the_image_before_the_version_counts(project: Project) -> None:
    secret = f"hunter2 of {project.name}"
    release(project, 'test "$(id -u)" = 1000; cd /app/trigger; ls; echo "with $TOKEN"')
    done = project.run("deploy", "--progress", "plain", "--output", "image", TOKEN=secret)
    assert done.returncode == 0, done.stderr
    assert "release: hello.py" in done.stderr
    assert "release: with ***" in done.stderr
    assert secret not in done.stdout + done.stderr
    recorded = "".join(path.read_text() for path in (project.root / ".trigger").rglob("*.json"))
    assert secret not in recorded
    again = project.run("deploy", "--progress", "plain", "--output", "image", TOKEN=secret)
    assert (again.returncode, "release:" in again.stderr) == (0, False)


def test_a_command_of_the_deploy_that_fails_leaves_no_version_and_no_image(project: Project) -> None:
    release(project, "echo no database >&2; exit 9")
    name = f"{project.engine.registry}/{project.name}"
    said = project.refused("--push", "--tag", f"{name}:live", TOKEN="hunter2")
    assert "a command of the deploy failed with exit code 9, so no version was recorded" in said
    assert "asked for by [build.extensions.release] at trigger.config.toml:" in said
    assert "    no database" in said
    assert json.loads(project.run("deployments", "list", "--json").stdout)["deployments"] == []
    named = project.engine.docker("images", "--quiet", f"--filter=reference=*{project.name}*")
    assert named == ""
    pushed = httpx.get(f"http://{project.engine.registry}/v2/{project.name}/tags/list", trust_env=False)
    assert pushed.status_code == 404


def test_a_command_of_the_deploy_without_its_secret_or_its_engine_is_refused_first(project: Project) -> None:
    release(project, "true")
    assert "TOKEN has no value" in project.refused()
    done = project.run("deploy", "--output", "oci-layout", TOKEN="hunter2")
    assert done.returncode == 2
    assert "so the image must be in an engine: use --output image" in done.stderr
    done = project.run("deploy", "--builder", "oci", TOKEN="hunter2")
    assert done.returncode == 2
    assert "--builder oci uses none" in done.stderr


def test_an_extension_that_claims_to_bring_a_module_is_found_out_by_the_index(project: Project) -> None:
    project.write(
        "ext.py", "class Lie:\n    def externals_for_target(self, target):\n        return ['pytest']\n"
    )
    project.write("trigger/plain.py", "import pytest\n")
    project.config('[build.extensions.lie]\nuse = "./ext.py:Lie"\n')
    said = project.refused()
    assert "trigger/plain.py:1: " in said
    assert "No module named 'pytest'" in said
