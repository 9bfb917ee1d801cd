"""`trigger deploy` with a real engine: what it builds runs, and what it cannot build it explains."""

import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.machine import DOCKER, Machine
from tests.engines.projects import Project
from triggerdev.build import provenance
from triggerdev.build.oci.model import MANIFEST, Descriptor
from triggerdev.build.oci.registry.attached import attached
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.repository import Repository

SERVER = ("-e", "TRIGGER_API_URL=http://localhost:1", "-e", "TRIGGER_SECRET_KEY=tr_prod_0123456789")
EXTENSION = """\
from triggerdev.build import BuildExtension


class Mine(BuildExtension):
    async def on_build_complete(self, context, manifest):
        context.add_layer({layer!r})
"""


def extension(project: Project, layer: dict[str, Any], config: str = "") -> None:
    """Give a project an extension that adds one layer, below the dependencies, which then stay files."""
    project.write("ext.py", EXTENSION.format(layer={"placement": "base", **layer}))
    project.config(f'{config}\n[build.extensions.mine]\nuse = "./ext.py:Mine"\n')


@pytest.fixture(scope="module")
def tree(make_project: Callable[[], Project]) -> tuple[Project, dict[str, Any]]:
    """A project with a package of Debian's, and what deploying it said; to be read only."""
    project = make_project()
    project.config('[build.extensions.apt-get]\npackages = ["tree"]\n')
    return project, project.deploy()


@pytest.fixture
def worker(tree: tuple[Project, dict[str, Any]]) -> Iterator[str]:
    """The worker of that project in a container, ready."""
    project, deployed = tree
    engine = project.engine
    name = engine.docker("run", "--detach", "--network=host", *SERVER, deployed["image"]["reference"])
    try:
        with subprocess.Popen(
            [DOCKER, "logs", "--follow", name], env=engine.environ, stderr=subprocess.PIPE, text=True
        ) as logs:
            assert logs.stderr is not None
            assert any("ready with 1 task" in line for line in logs.stderr)
            logs.kill()
        yield name
    finally:
        engine.docker("rm", "--force", name)


def test_a_deploy_is_built_indexed_in_the_image_and_recorded(tree: tuple[Project, dict[str, Any]]) -> None:
    project, deployed = tree
    assert [task["id"] for task in deployed["tasks"]] == ["hello"]
    assert (deployed["built"], deployed["promoted"], deployed["indexed"]) == (True, True, "image")
    listed = json.loads(project.run("deployments", "list", "--json").stdout)
    assert listed["current"] == deployed["version"]
    assert [each["version"] for each in listed["deployments"]] == [deployed["version"]]


def test_a_locked_base_is_built_on_by_its_digest(project: Project) -> None:
    extension(project, {"id": "greeting", "commands": ["echo hi > /opt/greeting"]})
    locked = project.run("lock", "--json")
    assert locked.returncode == 0, locked.stderr
    ((base, digest),) = json.loads(locked.stdout)["bases"].items()
    assert base == project.engine.base
    image = project.deploy()["image"]["reference"]
    (inspected,) = json.loads(project.engine.docker("image", "inspect", image))
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.base.name"] == base
    assert labels["org.opencontainers.image.base.digest"] == digest
    (below,) = json.loads(project.engine.docker("image", "inspect", f"{base}@{digest}"))
    layers = below["RootFS"]["Layers"]
    assert inspected["RootFS"]["Layers"][: len(layers)] == layers


def test_the_image_has_the_package_and_runs_as_nobody_special(tree: tuple[Project, dict[str, Any]]) -> None:
    project, deployed = tree
    said = project.engine.docker(
        *("run", "--rm", "--network=none", "--entrypoint=/bin/sh", deployed["image"]["reference"], "-c"),
        "tree --version && id -u && pwd && touch /app/x 2>&1 || echo refused",
    ).splitlines()
    assert said[0].startswith("tree v")
    assert said[1:3] == ["1000", "/app"]
    assert said[-1] == "refused"


def test_the_image_says_what_it_is(tree: tuple[Project, dict[str, Any]]) -> None:
    project, deployed = tree
    found = json.loads(project.engine.docker("inspect", deployed["image"]["reference"]))[0]["Config"]
    assert found["Entrypoint"][0].endswith("/dumb-init")
    assert found["Healthcheck"]["Test"][-1] == "health"
    assert found["Labels"]["org.opencontainers.image.title"] == project.name
    assert found["StopSignal"] == "SIGTERM"


def test_the_worker_is_healthy_and_stops_when_it_is_told_to(
    tree: tuple[Project, dict[str, Any]], worker: str
) -> None:
    engine = tree[0].engine
    engine.docker("exec", worker, "python", "-m", "triggerdev.worker", "health")
    began = time.monotonic()
    engine.docker("stop", "--time=60", worker)
    state = json.loads(engine.docker("inspect", "--format={{json .State}}", worker))
    assert (state["ExitCode"], time.monotonic() - began < 30) == (0, True)


def test_without_a_server_the_worker_says_what_is_missing(tree: tuple[Project, dict[str, Any]]) -> None:
    project, deployed = tree
    done = subprocess.run(
        [DOCKER, "run", "--rm", "--network=none", deployed["image"]["reference"]],
        env=project.engine.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "TRIGGER_API_URL and TRIGGER_SECRET_KEY must be set" in done.stderr


def test_an_equal_deploy_builds_nothing(project: Project) -> None:
    first = project.deploy()
    second = project.deploy()
    assert second["version"] == first["version"]
    assert (second["built"], second["promoted"]) == (False, False)


def test_a_change_of_code_keeps_all_layers_but_one_and_is_indexed_here(project: Project) -> None:
    first = project.deploy()
    project.write("trigger/more.py", (project.root / "trigger/hello.py").read_text().replace("hello", "more"))
    second = project.deploy()
    assert second["version"] != first["version"]
    assert (second["indexed"], len(second["tasks"])) == ("host", 2)
    assert second["image"]["layers"][:-1] == first["image"]["layers"][:-1]
    back = json.loads(project.run("deployments", "rollback", "--json").stdout)
    assert back["version"] == first["version"]
    project.write("trigger/more.py", "")
    (project.root / "trigger/more.py").unlink()
    again = project.deploy()
    assert (again["version"], again["built"], again["promoted"]) == (first["version"], False, False)


def test_a_command_that_fails_shows_who_asked_for_it_and_what_it_said(project: Project) -> None:
    commands = ["echo all is well", "echo what a pity >&2; exit 7"]
    extension(project, {"id": "mine", "commands": commands})
    said = project.refused()
    assert "error: the layer 'mine' failed: exit code 7" in said
    lines = (project.root / "trigger.config.toml").read_text().splitlines()
    place = lines.index("[build.extensions.mine]") + 1
    assert f"asked for by [build.extensions.mine] at trigger.config.toml:{place}" in said
    assert "    what a pity" in said
    assert json.loads(project.run("deployments", "list", "--json").stdout)["deployments"] == []


def test_a_build_secret_reaches_its_command_and_nothing_else(project: Project, folder: Path) -> None:
    secret = f"{project.name} 'in quotes' and $dollars"
    count = f'test "$(printf %s "$TOKEN" | wc -c)" = {len(secret)}'
    command = f'{count} && echo "$TOKEN" && touch /was-there'
    extension(project, {"id": "mine", "commands": [command], "build": {"secrets": ["TOKEN"]}})
    done = project.run("deploy", "--json", "--progress", "plain", "--log-level", "debug", TOKEN=secret)
    assert done.returncode == 0, done.stderr
    reference = json.loads(done.stdout)["image"]["reference"]
    project.engine.docker("save", "--output", str(folder / "image.tar"), reference)
    history = project.engine.docker("history", "--no-trunc", reference)
    recorded = "".join(path.read_text() for path in (project.root / ".trigger").rglob("*.json"))
    for place in (done.stdout, done.stderr, history, recorded):
        assert secret not in place
    assert secret.encode() not in (folder / "image.tar").read_bytes()
    listed = project.engine.docker("run", "--rm", "--network=none", "--entrypoint=ls", reference, "/")
    assert "was-there" in listed


def test_a_build_secret_without_a_value_is_missed_before_anything_is_built(project: Project) -> None:
    extension(project, {"id": "mine", "commands": ["true"], "build": {"secrets": ["TOKEN"]}})
    assert "the build secret TOKEN has no value" in project.refused()


def test_an_import_that_only_works_here_fails_the_deploy_with_what_would_bring_it(project: Project) -> None:
    project.write("trigger/plain.py", "import pytest\n")
    said = project.refused()
    assert "trigger/plain.py:1: " in said
    assert "No module named 'pytest'" in said
    assert "help: the module 'pytest' is that of pytest" in said


def test_a_module_that_is_kept_out_of_the_image_is_named(project: Project) -> None:
    project.config(build='exclude = ["lib/"]')
    project.write("lib/util.py", "x = 1\n")
    project.write("trigger/plain.py", "import lib.util\n")
    assert "help: lib is on this machine but not in the image" in project.refused()


def test_a_base_that_does_not_exist_is_named(project: Project, engine: Machine) -> None:
    project.config()
    text = (project.root / "trigger.config.toml").read_text()
    project.write("trigger.config.toml", text.replace("/base/python:", "/base/nothing:"))
    said = project.refused()
    assert f"{engine.registry}/base/nothing" in said
    assert "check build.base_image" in said


def test_an_image_is_pushed_and_runs_where_it_is_pulled(project: Project, engine: Machine) -> None:
    name = f"{engine.registry}/{project.name}:live"
    deployed = project.deploy("--push", "--tag", name, "--output", "oci-layout")
    assert deployed["image"]["pushed"] == [name]
    assert (Path(deployed["image"]["path"]) / "oci-layout").is_file()
    engine.docker("pull", "--quiet", name)
    answer = engine.docker("run", "--rm", "--network=none", name, "index")
    assert [task["id"] for task in json.loads(answer)["manifest"]["tasks"]] == ["hello"]


def test_another_machine_takes_from_the_registry_what_was_executed(project: Project, folder: Path) -> None:
    registry = f'[deploy]\nregistry = "{project.engine.registry}/ci"\n'
    project.config(f'[build.extensions.apt-get]\npackages = ["tree"]\n{registry}')
    first = project.deploy("--push")
    shutil.rmtree(project.root / ".trigger")
    without_engine = ("deploy", "--push", "--json", "--progress", "plain", "--builder", "oci")
    second = project.run(*without_engine, TRIGGER_CACHE_DIR=str(folder / "other"))
    assert second.returncode == 0, second.stderr
    assert "apt-get: cached" in second.stderr
    assert "dependencies: cached" in second.stderr
    image = json.loads(second.stdout)["image"]
    assert image["layers"] == first["image"]["layers"]
    assert image["digest"] == first["image"]["digest"]
    project.config(f'[build.extensions.apt-get]\npackages = ["tree"]\n{registry}share_layers = false\n')
    shutil.rmtree(project.root / ".trigger")
    third = project.run(*without_engine, TRIGGER_CACHE_DIR=str(folder / "third"))
    assert "the layer 'apt-get' executes commands, so a container engine is needed" in third.stderr


def test_a_tar_can_be_loaded(project: Project, engine: Machine, folder: Path) -> None:
    deployed = project.deploy("--output", f"tar={folder / 'image.tar'}")
    assert deployed["image"]["path"] == str(folder / "image.tar")
    assert deployed["image"]["reference"] in engine.docker("load", "--input", str(folder / "image.tar"))


def test_the_image_holds_its_bill_of_materials(tree: tuple[Project, dict[str, Any]]) -> None:
    project, deployed = tree
    text = project.engine.docker(
        *("run", "--rm", "--network=none", "--entrypoint=cat", deployed["image"]["reference"]),
        "/opt/triggerdev/sbom.cdx.json",
    )
    purls = [component["purl"] for component in json.loads(text)["components"]]
    for start in (
        "pkg:deb/debian/tree@",
        "pkg:deb/debian/libc6@",
        "pkg:pypi/pydantic@",
        "pkg:pypi/dumb-init@",
    ):
        assert any(purl.startswith(start) for purl in purls), start


def test_where_a_pushed_image_comes_from_is_attached_to_it(project: Project, engine: Machine) -> None:
    name = f"{engine.registry}/{project.name}:live"
    deployed = project.deploy("--push", "--tag", name, "--output", "oci-layout")
    reference = Reference.parse(name)
    subject = Descriptor(MANIFEST, deployed["image"]["digest"], 0)
    with Repository(reference) as repository:
        (statement,) = map(json.loads, attached(repository, subject, provenance.MEDIA_TYPE))
    assert statement["subject"][0]["digest"]["sha256"] in deployed["image"]["digest"]
    assert statement["predicate"]["buildDefinition"]["internalParameters"]["key"] == deployed["key"]
    kept = project.root / f".trigger/deployments/prod/{deployed['version']}.provenance.json"
    assert json.loads(kept.read_text()) == statement


def test_nothing_is_left_behind_in_the_engine(project: Project, engine: Machine) -> None:
    project.deploy()
    project.write("trigger/plain.py", "import nothing_of_that_name\n")
    project.refused()
    names = engine.docker("images", "--format={{.Repository}}:{{.Tag}}").splitlines()
    assert not [name for name in names if name.startswith("trigger-index")]
    assert not list((project.root.parent / "cache").rglob("save-*"))


def test_a_dry_run_is_compared_with_the_version_that_is_current(project: Project) -> None:
    version = project.deploy("--builder", "oci")["version"]
    hello = (project.root / "trigger/hello.py").read_text()
    project.write("trigger/hello.py", hello.replace("@task", '@task(machine="micro")'))
    project.write("trigger/more.py", hello.replace("hello", "more"))
    plan = json.loads(project.run("deploy", "--dry-run", "--json").stdout)
    assert plan["current"] == version
    assert [(task["id"], task["change"]) for task in plan["tasks"]] == [("hello", "~"), ("more", "+")]
    assert [layer["id"] for layer in plan["layers"] if layer["status"] == "build"] == ["source"]
    shown = project.run("deploy", "--dry-run").stdout
    assert "  ~  hello" in shown
    assert "machine none -> micro" in shown


def test_what_is_executed_is_executed_once_for_each_key(
    make_project: Callable[[], Project], folder: Path
) -> None:
    """Two folders, and two caches, as of two users; the moment of the first execution is in both images."""
    moments = []
    layer = {"id": "mine", "commands": [f"date +%s%N > /moment  # {uuid.uuid4().hex}"]}
    for number in range(2):
        project = make_project()
        extension(project, layer)
        project.write(f"trigger/other{number}.py", "x = 1\n")
        deployed = project.deploy(TRIGGER_CACHE_DIR=str(folder / f"cache{number}"))
        reference = deployed["image"]["reference"]
        moments.append(project.engine.docker("run", "--rm", "--entrypoint=cat", reference, "/moment"))
    assert moments[0] == moments[1]
    assert moments[0].isdigit()
