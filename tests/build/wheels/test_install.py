"""Python dependencies as a layer: installed by uv from an index of our own, the same on every machine."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.build.oci.support import unpack
from tests.build.test_reproducible import surroundings
from tests.build.wheels.index import Index, sdist, serving, wheel
from triggerdev import errors
from triggerdev.build import dependencies
from triggerdev.build.dependencies import requirements_file
from triggerdev.build.oci.model import Layer
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.plan import PlanLayer
from triggerdev.build.secrecy import Masker
from triggerdev.build.wheels import layer
from triggerdev.build.wheels.install import NeedsBuildingError
from triggerdev.build.wheels.normalise import for_the_image

HERE = f"3.{sys.version_info.minor}"
SITE = f"opt/venv/lib/python{HERE}/site-packages"


@pytest.fixture
def index() -> Iterator[Index]:
    index = Index()
    index.add(
        wheel("alpha", "1.0", ("beta>=2",), {"alpha": "alpha:main"}),
        wheel("beta", "2.0"),
        wheel("beta", "2.1"),
        wheel("small", "1.0", files={"small-1.0.data/scripts/small.sh": "#!python\nprint('small')\n"}),
    )
    with serving(index):
        yield index


@dataclass
class Machine:
    """A machine with caches of its own."""

    root: Path
    index: Index
    log: list[str] = field(default_factory=list)
    mask: Masker = field(default_factory=Masker)

    @property
    def store(self) -> BlobStore:
        return BlobStore(self.root / "store")

    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "UV_CACHE_DIR": str(self.root / "uv"), "UV_DEFAULT_INDEX": self.index.url}

    def build(self, planned: PlanLayer, interpreter: str = "/usr/bin/python3") -> Layer:
        around = layer.Surroundings(self.environ(), self.mask, self.log.append)
        return layer.build(self.store, planned, layer.Target("linux/amd64", interpreter), around)

    def unpack(self, made: Layer, folder: Path) -> Path:
        path = self.store.path(made.blob)
        assert path is not None
        return unpack(path, folder)


@pytest.fixture
def machine(tmp_path: Path, index: Index) -> Machine:
    return Machine(tmp_path / "machine", index)


def planned(
    *requirements: str, runtime: tuple[str, ...] = ("small",), python: str = HERE, key: str = "k"
) -> PlanLayer:
    inputs = [requirements_file("runtime.txt", runtime, "test")]
    if requirements:
        inputs.append(requirements_file("requirements.txt", requirements, "test"))
    return PlanLayer("dependencies", "triggerdev", "wheels", key, inputs=tuple(inputs), python=python)


def test_the_image_runs_what_was_installed(machine: Machine, tmp_path: Path) -> None:
    """The environment works where it is put, on an interpreter that is found through its link."""
    made = machine.build(planned("alpha"), os.path.realpath(sys.executable))
    root = machine.unpack(made, tmp_path / "root")
    python = root / "opt/venv/bin/python"
    code = "import alpha, beta, small, sys; print(alpha.VERSION, beta.VERSION, small.VERSION, sys.prefix)"
    said = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["1.0", "2.1", "1.0", str(root / "opt/venv")]


def test_scripts_start_with_the_images_interpreter(machine: Machine, tmp_path: Path) -> None:
    root = machine.unpack(machine.build(planned("alpha")), tmp_path / "root")
    for name in ("alpha", "small.sh"):
        script = root / "opt/venv/bin" / name
        assert script.read_text().startswith("#!/opt/venv/bin/python\n")
        assert script.stat().st_mode & 0o777 == 0o755
    assert (root / "opt/venv/bin/python").readlink() == Path("/usr/bin/python3")
    assert "home = /usr/bin\n" in (root / "opt/venv/pyvenv.cfg").read_text()


@pytest.mark.parametrize("python", ["3.12", "3.14"])
def test_the_images_python_may_be_another_than_ours(machine: Machine, tmp_path: Path, python: str) -> None:
    machine.index.add(wheel("native", "1", tag=f"cp3{python[2:]}-cp3{python[2:]}-manylinux_2_17_x86_64"))
    root = machine.unpack(machine.build(planned("native", python=python)), tmp_path / "root")
    assert (root / f"opt/venv/lib/python{python}/site-packages/native.py").is_file()
    assert [path.name for path in (root / "opt/venv/lib").iterdir()] == [f"python{python}"]


def test_the_platform_may_be_another_than_ours(machine: Machine) -> None:
    machine.index.add(wheel("native", "1", tag="cp312-cp312-manylinux_2_17_aarch64"))
    arm = layer.Target("linux/arm64", "/usr/bin/python3")
    around = layer.Surroundings(machine.environ())
    layer.build(machine.store, planned("native", python="3.12"), arm, around)
    with pytest.raises(NeedsBuildingError, match="native: no wheel fits the image"):
        machine.build(planned("native", python="3.12", key="other"))


def test_records_name_what_is_there_and_nothing_else(machine: Machine, tmp_path: Path) -> None:
    root = machine.unpack(machine.build(planned("alpha")), tmp_path / "root")
    site = root / SITE
    listed = set()
    for record in site.glob("*.dist-info/RECORD"):
        for path, digest, size in csv.reader(io.StringIO(record.read_text())):
            file = (site / path).resolve()
            listed.add(file)
            if digest:
                expected = urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={expected}", str(file.stat().st_size))
    there = {path for path in (root / "opt/venv").rglob("*") if path.is_file() and not path.is_symlink()}
    assert {path.resolve() for path in there} - listed == {(root / "opt/venv/pyvenv.cfg").resolve()}


@pytest.fixture
def local(tmp_path: Path) -> str:
    """A wheel that is installed from this machine's disk, which leaves its path in direct_url.json."""
    name, data = wheel("local", "1.0")
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / name).write_bytes(data)
    return f"local @ {(tmp_path / 'disk' / name).as_uri()}"


def test_two_machines_make_the_same_layer(index: Index, tmp_path: Path, local: str) -> None:
    one, other = Machine(tmp_path / "a", index), Machine(tmp_path / "some" / "where" / "else", index)
    with surroundings(0o022, "UTC"):
        first = one.build(planned("alpha", local))
    with surroundings(0o077, "Pacific/Auckland"):
        second = other.build(planned("alpha", local))
    assert first == second
    root = one.unpack(first, tmp_path / "root")
    everything = b"".join(
        path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()
    )
    for trace in (str(tmp_path), sys.prefix, os.path.realpath(sys.executable), str(index.port)):
        assert trace.encode() not in everything
    names = {path.name for path in root.rglob("*")}
    assert not names & {"direct_url.json", "uv_cache.json", ".lock", "__pycache__"}


def test_a_known_layer_needs_no_index(machine: Machine) -> None:
    first = machine.build(planned("alpha"))
    machine.index.packages.clear()
    machine.index.asked.clear()
    assert machine.build(planned("alpha")) == first
    assert machine.index.asked == []


def test_the_runtime_takes_the_projects_versions(machine: Machine, tmp_path: Path) -> None:
    made = machine.build(planned("beta==2.0", runtime=("beta>=1", "small")))
    site = machine.unpack(made, tmp_path / "root") / SITE
    assert '"2.0"' in (site / "beta.py").read_text()
    assert (site / "small.py").is_file()


def locked(project: Path, machine: Machine, *requirements: str) -> PlanLayer:
    """Lock a project's requirements with the index, and give what would be planned for it."""
    project.mkdir(exist_ok=True)
    listed = json.dumps(requirements)
    text = f'[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = {listed}\n'
    (project / "pyproject.toml").write_text(text)
    from triggerdev.build.wheels.uv import find_uv

    command = [find_uv(), "lock", "--quiet"]
    subprocess.run(command, cwd=project, env=machine.environ(), check=True, capture_output=True)
    found = dependencies.find(project, [])
    runtime = requirements_file("runtime.txt", ["beta", "small"], "test")
    return PlanLayer(
        "dependencies", "triggerdev", "wheels", "l", inputs=(*found.inputs, runtime), python=HERE
    )


def test_a_lock_is_installed_as_it_is(machine: Machine, tmp_path: Path) -> None:
    made_plan = locked(tmp_path / "project", machine, "alpha", "beta<2.1")
    machine.index.add(wheel("alpha", "9.0"), wheel("beta", "9.0"))
    site = machine.unpack(machine.build(made_plan), tmp_path / "root") / SITE
    assert sorted(path.name for path in site.glob("*.dist-info")) == [
        "alpha-1.0.dist-info",
        "beta-2.0.dist-info",
        "small-1.0.dist-info",
    ]


def test_a_package_that_is_not_what_the_lock_says_is_refused(machine: Machine, tmp_path: Path) -> None:
    made_plan = locked(tmp_path / "project", machine, "alpha")
    name, _ = wheel("alpha", "1.0")
    machine.index.packages[name] = wheel("alpha", "1.0", files={"evil.py": "x"})[1]
    other = Machine(tmp_path / "other", machine.index)
    with pytest.raises(errors.BuildError, match=r"Hash mismatch for `alpha==1\.0`"):
        other.build(made_plan)
    assert other.store.layer(layer.key_of(made_plan, "linux/amd64")) is None


def test_a_package_without_wheels_is_named_and_not_built_here(machine: Machine, tmp_path: Path) -> None:
    machine.index.add(sdist("source", "1.0"))
    with pytest.raises(NeedsBuildingError) as raised:
        machine.build(planned("alpha", "source"))
    assert raised.value.packages == ("source",)
    assert "ran its code" not in str(raised.value)
    with pytest.raises(NeedsBuildingError) as raised:
        machine.build(planned("alpha", "source==1.0"))
    assert raised.value.packages == ("source",)


def test_a_lock_tells_of_packages_without_wheels(machine: Machine, tmp_path: Path) -> None:
    """Other than a list, a lock tells before anything is asked for; and installing it says the same."""
    project = tmp_path / "project"
    project.mkdir()
    name, data = sdist("source", "1.0")
    address = f"{machine.index.url.removesuffix('/simple')}/files/{name}"
    (project / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1"\n')
    digest = hashlib.sha256(data).hexdigest()
    (project / "uv.lock").write_text(
        'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n[[package]]\nname = "demo"\nversion = "1"\n'
        'source = { virtual = "." }\ndependencies = [{ name = "source" }]\n\n[[package]]\nname = "source"\n'
        f'version = "1.0"\nsource = {{ registry = "{machine.index.url}" }}\n'
        f'sdist = {{ url = "{address}", hash = "sha256:{digest}" }}\n'
    )
    found = dependencies.find(project, [])
    assert found.source_only == ("source",)
    runtime = requirements_file("runtime.txt", ["small"], "test")
    made_plan = PlanLayer("dependencies", "t", "wheels", "s", inputs=(*found.inputs, runtime), python=HERE)
    with pytest.raises(NeedsBuildingError) as raised:
        machine.build(made_plan)
    assert raised.value.packages == ("source",)


def test_what_does_not_fit_together_is_told_in_uvs_words(machine: Machine) -> None:
    with pytest.raises(errors.BuildError, match=r"uv cannot install the Python dependencies:(.|\n)*beta"):
        machine.build(planned("alpha", "beta<2"))
    assert not list((machine.store.folder / "partial").iterdir())


def test_a_private_index_leaves_no_trace_of_its_password(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cret-of-the-index"
    machine.index.password = secret
    machine.mask.add({"UV_DEFAULT_INDEX": machine.index.url, "INDEX_PASSWORD": secret})
    started: list[list[str]] = []
    real = subprocess.run

    def remember(command: list[str], **options: Any) -> object:
        started.append([str(word) for word in command])
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", remember)
    made_plan = planned("alpha")
    root = machine.unpack(machine.build(made_plan), tmp_path / "root")
    with pytest.raises(errors.BuildError) as raised:
        machine.build(planned("missing", key="other"))
    for path in [*root.rglob("*"), *machine.store.folder.rglob("*")]:
        if path.is_file() and not path.is_symlink():
            assert secret.encode() not in path.read_bytes()
    assert len(started) == 2
    assert secret not in " ".join(word for command in started for word in command)
    assert secret not in "\n".join(machine.log) + str(raised.value) + repr(made_plan)
    assert machine.log


def test_pips_variables_work_too(machine: Machine) -> None:
    environ = machine.environ()
    environ["PIP_INDEX_URL"] = environ.pop("UV_DEFAULT_INDEX")
    around = layer.Surroundings(environ)
    layer.build(machine.store, planned("alpha"), layer.Target("linux/amd64", "/usr/bin/python3"), around)
    assert machine.index.asked


@pytest.mark.parametrize(
    "script",
    [
        b"#!/root/x y/bin/python3.11\n",
        b"#!/usr/bin/env python3\nprint()\n",
        b"#!/bin/sh\necho\n",
        b"\x7fELF",
        b"print('#!/usr/bin/python')\n",
    ],
)
def test_other_scripts_stay_as_they_are(script: bytes) -> None:
    assert for_the_image(script) == script


@pytest.mark.parametrize(
    "head",
    [
        b"#!/home/me/.venv/bin/python\n",
        b"#!/usr/bin/python3.12\n",
        b"#!/bin/sh\n'''exec' \"/home/my projects/.venv/bin/python\" \"$0\" \"$@\"\n' '''\n",
    ],
)
def test_scripts_of_this_machines_interpreter_get_the_images(head: bytes) -> None:
    assert for_the_image(head + b"import x\n") == b"#!/opt/venv/bin/python\nimport x\n"


def test_uv_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from triggerdev.build.wheels.uv import find_uv

    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.EnvironmentProblemError, match="pip install uv"):
        find_uv()
