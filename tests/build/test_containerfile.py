"""The Containerfile: what it looks like, and that no value of a config can break out of its place in it."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.build.support import Project, toml
from triggerdev import errors
from triggerdev.build import render, tokens
from triggerdev.build.plan import ImagePlan, PlanLayer

GOLDEN = Path(__file__).parent / "golden"

EVERYTHING = """
context.add_layer({"id": "tools", "placement": "base", "commands": ["echo tools > /etc/tools"]})
context.add_layer({
    "id": "model", "placement": "dependencies", "files": {"/opt/model.bin": "model.bin"},
    "dependencies": {"requests": "2.32.3", "idna": ">=3"},
})
context.add_layer({
    "id": "raw", "image": {"pkgs": ["git"], "instructions": ["RUN echo $ZONE", "USER nobody"]},
    "build": {"env": {"ZONE": 'a "b" $c'}},
})
context.add_layer({
    "id": "generated", "files": {"schema.json": "schema.json"},
    "commands": ["make all\\nmake 'more'", "true"],
    "build": {"env": {"MODE": "x y"}, "secrets": ["TOKEN"]}, "deploy": {"env": {"SCHEMA": "1"}},
})
"""


def everything(project: Project) -> None:
    for name in ("model.bin", "schema.json", "assets/a.txt"):
        project.write(name, name)
    project.write("requirements.txt", "httpx==0.28.1\n")
    project.extension(*EVERYTHING.strip().splitlines(), also='[build]\nsecrets = ["INDEX_TOKEN"]')
    config = (project.root / "trigger.config.toml").read_text()
    project.write(
        "trigger.config.toml", config + '[build.extensions.additional-files]\nfiles = ["assets/**"]\n'
    )


@pytest.mark.parametrize("name", ["plain", "everything", "locked"])
def test_the_containerfile_is_as_it_was(project: Project, name: str) -> None:
    if name == "everything":
        everything(project)
    elif name == "locked":
        project.write("pyproject.toml", '[project]\nname = "demo"\nrequires-python = ">=3.13"\n')
        project.write("uv.lock", 'version = 1\n[[package]]\nname = "idna"\nversion = "3.10"\n')
    expected = (GOLDEN / f"{name}.Containerfile").read_text("utf-8")
    assert project.containerfile() == expected


def test_layers_come_in_the_order_of_their_rate_of_change(project: Project) -> None:
    everything(project)
    order = ["base", "apt-get", "raw:image", "tools", "dependencies", "runtime", "model", "generated"]
    order += ["additional-files", "source"]
    assert [layer["id"] for layer in project.plan().document["layers"]] == order


# -- injection ----------------------------------------------------------------------------------------

HOSTILE = [
    "x\nRUN touch /evil",
    "x\r\nRUN touch /evil",
    "x\u2028RUN touch /evil",
    "x\x85RUN touch /evil",
    "x\\\nRUN touch /evil",
    'x"]\nRUN ["touch", "/evil"]',
    "$(touch /evil)",
    "`touch /evil`",
    "${PATH}",
    "-y",
    "--mount=type=secret",
    "x; touch /evil",
    "x' && touch /evil '",
    "{{ 7 * 7 }}",
    "<<EOF",
    "x\\",
    "../../evil",
    "\x00",
    "\ud800",
]
# What a reader of the Containerfile finds at the start of its lines, and nothing else.
LINE = re.compile(
    r"(# [\w.:-]+|# Written by .*|FROM [\w./:@-]+|USER (0|1000:1000)|WORKDIR /app|ENV [A-Z_]+=\S.*|"
    r"(RUN|COPY)( --mount=[\w=,/.-]+)* \[.*\]|LABEL [\w.]+=\S.*|STOPSIGNAL SIGTERM|"
    r"HEALTHCHECK( --[\w=-]+)+ CMD \[.*\]|ENTRYPOINT \[.*\]|CMD \[.*\]|)"
)


def check(containerfile: str) -> None:
    """Check that each line is one of ours, and that what is free text is inside a JSON array."""
    for line in containerfile.split("\n"):
        assert LINE.fullmatch(line), line
        if line.startswith(("RUN", "COPY")):
            words = json.loads(line[line.index("[") :])
            assert all(isinstance(word, str) for word in words)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\uffff]", containerfile)


def refused_or_harmless(project: Project) -> None:
    try:
        text = project.containerfile()
    except errors.TriggerError:
        return
    check(text)


@pytest.mark.parametrize("value", [value for value in HOSTILE if value != "\ud800"])
@pytest.mark.parametrize(
    "table",
    [
        "[build]\nbase_image = {0}",
        "[build]\ndependencies = [{0}]",
        "[build]\nsecrets = [{0}]",
        "[build]\nexternal = [{0}]",
        "[build]\nexclude = [{0}]",
        "[build]\nplatforms = [{0}]",
        "[deploy.env]\nX = {0}",
        "[deploy.env]\n{0} = 'x'",
        "[build.extensions.apt-get]\npackages = [{0}]",
        "[build.extensions.apt-get]\npackages = ['curl={0}']",
        "[build.extensions.{0}]\nuse = 'additional-files'\nfiles = ['a.txt']",
        "[build.extensions.additional-files]\nfiles = [{0}]",
        "[build.extensions.additional-files]\nfiles = [{{ source = 'a.txt', destination = {0} }}]",
        "[build.extensions.additional-files]\nfiles = ['a.txt']\ndestination = {0}",
        "[build.extensions.echo]\nuse = './ext.py:Echo'\noptions = {{ value = {0} }}",
    ],
)
def test_no_value_of_a_config_can_break_out(project: Project, table: str, value: str) -> None:
    project.write("a.txt", "a")
    project.write(
        "ext.py",
        "class Echo:\n    def __init__(self, value):\n        self.value = value\n\n"
        "    def on_build_complete(self, context, manifest):\n"
        '        context.add_layer({"id": "echo", "commands": [self.value], "files": {"x": "a.txt"}})\n',
    )
    try:
        project.config(table.format(toml(value)))
    except ValueError:
        return
    refused_or_harmless(project)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "layer",
    [
        {"id": "VALUE", "commands": ["true"]},
        {"id": "x", "commands": ["VALUE"]},
        {"id": "x", "files": {"VALUE": "a.txt"}},
        {"id": "x", "files": {"a.txt": "VALUE"}},
        {"id": "x", "image": {"pkgs": ["VALUE"]}},
        {"id": "x", "image": {"pkgs": ["curl=VALUE"]}},
        {"id": "x", "image": {"instructions": ["VALUE"]}},
        {"id": "x", "commands": ["true"], "build": {"env": {"A": "VALUE"}}},
        {"id": "x", "commands": ["true"], "build": {"env": {"VALUE": "a"}}},
        {"id": "x", "commands": ["true"], "build": {"secrets": ["VALUE"]}},
        {"id": "x", "commands": ["true"], "deploy": {"env": {"VALUE": "a"}}},
        {"id": "x", "commands": ["true"], "deploy": {"env": {"A": "VALUE"}}},
        {"id": "x", "dependencies": {"VALUE": "1"}},
        {"id": "x", "dependencies": {"requests": "VALUE"}},
        {"id": "x", "commands": ["true"], "placement": "VALUE"},
    ],
)
def test_no_value_of_a_layer_can_break_out(project: Project, layer: dict[str, object], value: str) -> None:
    project.write("a.txt", "a")
    described = json.dumps(layer).replace("VALUE", json.dumps(value)[1:-1])
    project.extension(f"import json; context.add_layer(json.loads({described!r}))")
    refused_or_harmless(project)
    for path in (project.root / ".trigger").rglob("requirements.txt"):
        assert not any(line.startswith("-") for line in path.read_text("utf-8").splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "FROM scratch",
        "RUN echo \\",
        "RUN cat <<EOF",
        "ENTRYPOINT x",
        "# comment",
        "RUN",
        "ONBUILD RUN x",
        "",
        "HEALTHCHECK x",
    ],
)
def test_raw_instructions_that_reach_beyond_their_line_are_refused(project: Project, line: str) -> None:
    project.extension(f'context.add_layer({{"id": "x", "image": {{"instructions": [{line!r}]}}}})')
    with pytest.raises(errors.ExtensionError, match="cannot be an image instruction"):
        project.plan()


@given(st.text())
def test_free_text_stays_within_one_line_of_ascii(text: str) -> None:
    try:
        written = tokens.exec_form(["/bin/sh", text])
    except ValueError:
        assert "\0" in text
        return
    assert written.isascii()
    assert "\n" not in written
    assert json.loads(written) == ["/bin/sh", text]


@given(st.text())
def test_plain_tokens_are_a_closed_set(text: str) -> None:
    accepted = (tokens.is_layer_id, tokens.is_variable, tokens.is_image_reference, tokens.is_environment)
    if any(accept(text) for accept in accepted) or tokens.split_apt(text):
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:/@=+~-]*", text)


def test_a_plan_made_by_hand_cannot_break_out_either() -> None:
    base = PlanLayer("base", "triggerdev", "base")
    plan = ImagePlan("python", "python:3.12", ("linux/amd64",), (base,))
    with pytest.raises(ValueError, match="is no image reference"):
        render.render(dataclasses.replace(plan, base="python:3.12\nRUN evil"))
    evil = PlanLayer("x\nRUN evil", "mine", "commands", commands=("true",), script=("true",))
    with pytest.raises(ValueError, match="is no layer id"):
        render.render(dataclasses.replace(plan, layers=(base, evil)))
    evil = PlanLayer("x", "mine", "instructions", instructions=("RUN a\nRUN b",))
    with pytest.raises(ValueError, match="line break"):
        render.render(dataclasses.replace(plan, layers=(base, evil)))
