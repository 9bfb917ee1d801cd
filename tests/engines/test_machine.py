"""The engine for tests is what the other tests take it for."""

import json
import urllib.request
import uuid
from pathlib import Path

from tests.engines.machine import Machine


def test_it_builds_runs_and_pushes(engine: Machine, tmp_path: Path) -> None:
    said = str(uuid.uuid4())
    repository = f"engine-test-{said[:8]}"
    (tmp_path / "Dockerfile").write_text(
        f'FROM {engine.base}\nRUN --mount=type=cache,target=/cache ["touch", "/{said}"]\n'
    )
    name = f"{engine.registry}/{repository}:1"
    engine.docker("build", "--network=host", "--quiet", "--tag", name, str(tmp_path))
    listed = engine.docker("run", "--rm", "--network=host", name, "ls", "/")
    engine.docker("push", "--quiet", name)
    with urllib.request.urlopen(f"http://{engine.registry}/v2/{repository}/tags/list") as answer:
        assert json.load(answer)["tags"] == ["1"]
    assert said in listed


def test_its_base_has_a_python_that_trusts_what_this_machine_trusts(engine: Machine) -> None:
    program = "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 0)"
    answer = engine.docker("run", "--rm", "--network=none", engine.base, "python", "-c", program)
    assert answer == "True"
