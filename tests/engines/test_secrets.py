"""Secrets of every origin are looked for in all that a deploy leaves, says and starts: nothing holds one."""

import base64
import gzip
import io
import json
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.build.wheels.index import Index, serving, wheel
from tests.engines import audited
from tests.engines.projects import Project
from triggerdev.build import provenance
from triggerdev.build.oci.model import MANIFEST, Descriptor
from triggerdev.build.oci.registry.attached import attached
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.repository import Repository

CONFIG = """
[env.test.deploy]
registry = "{registry}/{name}"

[build.extensions.sync-env-vars]
callback = "variables:variables"

[build.extensions.mine]
use = "./ext.py:Mine"
"""
VARIABLES = """
def variables(ctx):
    return [
        {{"name": "SYNCED_TOKEN", "value": "{synced}", "is_secret": True}},
        {{"name": "SYNCED_PLAIN", "value": "{synced_plain}"}},
    ]
"""
# It uses its secret, says it aloud, and is the last layer that executes: what is below is executed, too.
EXTENSION = """
import os

from triggerdev.build import BuildExtension


class Mine(BuildExtension):
    async def on_build_start(self, context):
        context.logger.debug("the token is " + os.environ["BUILD_TOKEN"])
        context.logger.info("and the password " + context.env["FILE_PASSWORD"])

    async def on_build_complete(self, context, manifest):
        context.add_layer({
            "id": "mine",
            "commands": ['echo "token: $BUILD_TOKEN" && test -n "$BUILD_TOKEN" && touch /was-there'],
            "build": {"secrets": ["BUILD_TOKEN"]},
        })
"""
VERSION = f"1.0.{secrets.randbelow(10**9)}"
"""Of the package of the private index: never installed before, so that the index is asked."""
ORIGINS = ("environment", "file", "synced", "synced_plain", "build", "index")


@dataclass
class Canaries:
    """A random secret of each origin; and what was found where."""

    values: dict[str, str] = field(
        default_factory=lambda: {name: f"canary{secrets.token_hex(12)}" for name in ORIGINS}
    )

    def absent(self, place: str, data: bytes) -> None:
        """Make sure that bytes hold no secret, as it is or encoded."""
        for origin, value in self.values.items():
            forms = (value, quote(value), base64.b64encode(value.encode()).decode().rstrip("=")[:-2])
            found = [form for form in forms if form.encode() in data]
            assert not found, f"the secret of {origin} is in {place}"


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture(scope="module")
def index(canaries: Canaries) -> Iterator[Index]:
    """A package index with a password, which has one package of its own."""
    with serving(Index(password=canaries.values["index"])) as index:
        index.add(wheel("canary_alpha", VERSION))
        yield index


@dataclass
class Deployed:
    """A project that knows secrets, and all that deploying it has said."""

    project: Project
    output: str
    started: str
    image: str
    digest: str


@pytest.fixture(scope="module")
def deployed(
    make_project: Callable[[], Project],
    canaries: Canaries,
    index: Index,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployed:
    project = make_project()
    known = canaries.values
    project.config(
        CONFIG.format(registry=project.engine.registry, name=project.name),
        'secrets = ["PIP_EXTRA_INDEX_URL"]',
    )
    project.write("ext.py", EXTENSION)
    project.write("variables.py", VARIABLES.format(**known))
    project.write("requirements.txt", f"canary-alpha=={VERSION}\n")
    project.write(".env", f"FILE_PASSWORD={known['file']}\n")
    log = tmp_path_factory.mktemp("audit") / "started.txt"
    environ = {
        "API_SECRET": known["environment"],
        "BUILD_TOKEN": known["build"],
        "PIP_EXTRA_INDEX_URL": index.url,
    }
    said = []
    for words in (["--push", "--progress", "plain"], ["--dry-run"]):
        done = run(
            project, log, "deploy", "--env", "test", "--json", "--log-level", "debug", *words, **environ
        )
        assert done.returncode == 0, done.stderr
        said.append(done)
    image = json.loads(said[0].stdout)["image"]
    output = "".join(done.stdout + done.stderr for done in said)
    return Deployed(project, output, log.read_text(), image["reference"], image["digest"])


def run(project: Project, log: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return project.run_program([sys.executable, audited.__file__, str(log), *words], **environ)


def test_the_secrets_were_there_and_used(deployed: Deployed, index: Index) -> None:
    """Else the other tests would prove nothing."""
    assert f"/files/canary_alpha-{VERSION}-py3-none-any.whl" in index.asked
    assert "mine: token: ***" in deployed.output
    assert "the token is ***" in deployed.output
    assert "and the password ***" in deployed.output
    assert '"SYNCED_TOKEN"' in deployed.output
    words = (
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=ls",
        deployed.image,
        "/",
        "/opt/venv/lib/python3.11",
    )
    listed = deployed.project.engine.docker(*words)
    assert "was-there" in listed


def test_nothing_that_was_said_holds_one(deployed: Deployed, canaries: Canaries) -> None:
    canaries.absent("the output at debug level", deployed.output.encode())


def test_no_program_was_started_with_one(deployed: Deployed, canaries: Canaries) -> None:
    assert "build" in deployed.started
    assert "docker" in deployed.started
    canaries.absent("the arguments of a program", deployed.started.encode())


def test_no_file_that_was_left_holds_one(deployed: Deployed, canaries: Canaries) -> None:
    """Plan, Containerfile, versions, provenance, caches; one file of the user's code has secrets in it."""
    root = deployed.project.root
    names = set()
    for path in (root / ".trigger").rglob("*"):
        if path.is_file() and path.name != "variables.py":
            names.add(path.name)
            canaries.absent(str(path), path.read_bytes())
    assert {"Containerfile", "build.json", "layers.json", "promotions.json"} <= names


def test_no_layer_and_no_config_of_the_image_holds_one(
    deployed: Deployed, canaries: Canaries, tmp_path: Path
) -> None:
    engine = deployed.project.engine
    engine.docker("save", "--output", str(tmp_path / "image.tar"), deployed.image)
    names = set()
    with tarfile.open(tmp_path / "image.tar") as whole:
        for item in whole:
            file = whole.extractfile(item)
            if file is None:
                continue
            data = file.read()
            if item.name.endswith("layer.tar"):
                names |= look_inside(data, canaries)
            else:
                canaries.absent(f"{item.name} of the image", data)
    assert {"opt/triggerdev/sbom.cdx.json", "was-there", "app/trigger/hello.py"} <= names
    for command in (["history", "--no-trunc"], ["inspect"]):
        canaries.absent(command[0], engine.docker(*command, deployed.image).encode())


def look_inside(layer: bytes, canaries: Canaries) -> set[str]:
    """Look at each file of a layer, but for the one that has secrets in its code; gives their names."""
    names = set()
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for item in tar:
            file = tar.extractfile(item) if item.isreg() else None
            canaries.absent(f"the name of {item.name}", item.name.encode())
            names.add(item.name.lstrip("./"))
            if file is not None and not item.name.endswith("variables.py"):
                canaries.absent(f"{item.name} of a layer", file.read())
    return names


def test_what_is_kept_for_later_builds_holds_none(deployed: Deployed, canaries: Canaries) -> None:
    for path in (deployed.project.root.parent / "cache").rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            look_inside(gzip.decompress(data), canaries)
        else:
            canaries.absent(str(path), data)


def test_where_the_image_comes_from_is_told_without_them(deployed: Deployed, canaries: Canaries) -> None:
    reference = Reference.parse(deployed.image)
    with Repository(reference) as repository:
        manifest = repository.manifest(deployed.digest)
        assert manifest is not None
        subject = Descriptor(MANIFEST, deployed.digest, len(manifest))
        (statement,) = attached(repository, subject, provenance.MEDIA_TYPE)
    assert json.loads(statement)["predicate"]["buildDefinition"]["externalParameters"]["secrets"] == [
        "BUILD_TOKEN",
        "PIP_EXTRA_INDEX_URL",
    ]
    canaries.absent("the provenance", statement)


def test_dependencies_that_are_installed_here_take_none_along(
    project: Project, canaries: Canaries, index: Index, tmp_path: Path
) -> None:
    project.write("requirements.txt", f"canary-alpha=={VERSION}\n")
    log, layout = tmp_path / "started.txt", tmp_path / "layout"
    words = ("deploy", "--builder", "oci", f"--output=oci-layout={layout}", "--log-level", "debug", "--json")
    done = run(project, log, *words, UV_INDEX=index.url)
    assert done.returncode == 0, done.stderr
    assert f"canary-alpha=={VERSION}" in done.stderr
    assert "uv" in log.read_text()
    canaries.absent("what was said and started", (done.stdout + done.stderr + log.read_text()).encode())
    names = set()
    for path in (layout / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            names |= look_inside(gzip.decompress(data), canaries)
        else:
            canaries.absent("a document of the image", data)
    assert "opt/venv/lib/python3.11/site-packages/canary_alpha.py" in names


def test_a_command_that_fails_does_not_tell_it(project: Project, canaries: Canaries, tmp_path: Path) -> None:
    project.write(
        "ext.py", EXTENSION.replace("touch /was-there", "exit 3").replace('"id"', '"placement": "base", "id"')
    )
    project.config('[build.extensions.mine]\nuse = "./ext.py:Mine"\n')
    project.write(".env", f"FILE_PASSWORD={canaries.values['file']}\n")
    log = tmp_path / "started.txt"
    done = run(project, log, "deploy", "--log-level", "debug", BUILD_TOKEN=canaries.values["build"])
    assert done.returncode == 1
    assert "token: ***" in done.stderr
    canaries.absent("what was said", (done.stdout + done.stderr + log.read_text()).encode())
