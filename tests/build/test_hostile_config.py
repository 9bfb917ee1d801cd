"""Hostile values of a config: refused by name, or contained where they can do nothing."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.build.support import Project, toml
from tests.build.test_containerfile import check
from triggerdev import errors
from triggerdev.build import tokens

APT = "[build.extensions.apt-get]\npackages = [{0}]"
NPM = "[build.extensions.additional-packages]\npackages = [{0}]"
SYNC = "[build.extensions.sync-env-vars]\ncallback = 'envs:sync'"
# Where a value stands in the config, and the value. Each must be refused with a message that names it.
REFUSED = [
    (APT, "curl; touch /evil"),
    (APT, "curl\ntouch /evil"),
    (APT, "$(touch /evil)"),
    (APT, "`touch /evil`"),
    (APT, "-oDpkg::Pre-Install-Pkgs::=/bin/sh"),
    (APT, "--allow-unauthenticated"),
    (APT, "./evil.deb"),
    (APT, "http://evil/evil.deb"),
    (APT, "curl=1.0 && touch /evil"),
    (APT, "curl='1'"),
    (APT, "curl=$(id)"),
    (APT, "CURL"),
    (APT, "cürl"),
    (APT, "curl\x00"),
    (NPM, "prettier; touch /evil"),
    (NPM, "prettier@1.0.0' && touch /evil '"),
    (NPM, "--ignore-scripts=false"),
    (NPM, "-g"),
    (NPM, "../evil"),
    (NPM, "https://evil/evil.tgz"),
    (NPM, "git+ssh://evil/x"),
    (NPM, "a\nb"),
    (NPM, "pip:x==1; touch /evil"),
    (NPM, "pip:--index-url=http://evil"),
    (NPM, "pip:x @ file:///evil"),
    (NPM, "pip:"),
    (NPM, "@scope"),
    ("[build.extensions.ffmpeg]\nversion = {0}", '7"; touch /evil'),
    ("[build.extensions.ffmpeg]\nversion = {0}", "7\nRUN touch /evil"),
    ("[build.extensions.ffmpeg]\nversion = {0}", "../7"),
    ("[build.extensions.lightpanda]\nversion = {0}", "nightly@sha256:$(id)"),
    ("[build.extensions.audio-waveform]\nversion = {0}", "1.10.1/../../evil"),
    ("[build.extensions.playwright]\nversion = {0}", "1.49.0 --index-url http://evil"),
    ("[build.extensions.playwright]\nversion = {0}", "1.49.0\ntouch /evil"),
    ("[build.extensions.playwright]\nbrowsers = [{0}]", "chromium; touch /evil"),
    ("[build.extensions.playwright]\nchannel = {0}", "debian$(id)"),
    ("[build.extensions.prisma]\nschema = 'a.txt'\nversion = {0}", "0.15.0;id"),
    ("[build.extensions.prisma]\nschema = 'a.txt'\nclient_generator = {0}", "x; touch /evil"),
    ("[build.extensions.prisma]\nschema = 'a.txt'\nnode = {0}", "22 || touch /evil"),
    ("[build.extensions.prisma]\nschema = 'a.txt'\ndirect_url_env_var_name = {0}", "A=B"),
    ("[build.extensions.prisma]\nversion = '0.15.0'\nschema = {0}", "none'; touch /evil; '"),
    ("[build.extensions.python]\nrequirements = [{0}]", "-r /etc/passwd"),
    ("[build.extensions.python]\nrequirements = [{0}]", "--extra-index-url http://evil"),
    ("[build.extensions.python]\nrequirements = [{0}]", "$(touch /evil)"),
    ("[build.extensions.python]\nrequirements_file = {0}", "../evil.txt"),
    ("[build.extensions.python]\nrequirements_file = {0}", "/etc/passwd"),
    ("[build.extensions.python]\nversion = {0}", "3.12; id"),
    ("[build.extensions.puppeteer]\nchannel = {0}", "stable\nRUN touch /evil"),
    ("[build]\nbase_image = {0}", "python:3.12\nRUN touch /evil"),
    ("[build]\nbase_image = {0}", "$(id)/python"),
    ("[build]\nsecrets = [{0}]", "TOKEN,dst=/etc/passwd"),
    ("[build]\nsecrets = [{0}]", "A B"),
    ("[build]\nplatforms = [{0}]", "linux/amd64;id"),
    ("[build]\ndependencies = [{0}]", "--index-url=http://evil"),
    ("[deploy.env]\n{0} = 'x'", "A\nRUN touch /evil"),
    ("[deploy.env]\n{0} = 'x'", "LD PRELOAD"),
    ("[build.extensions.{0}]\nuse = 'apt-get'\npackages = ['curl']", "x\nRUN touch /evil"),
    ("[build.extensions.{0}]\nuse = 'apt-get'\npackages = ['curl']", "../../evil"),
    ("[build.extensions.x]\nuse = {0}", "os:system"),
    ("[build.extensions.x]\nuse = {0}", "../evil.py:X"),
]


def shown(value: str) -> str:
    """The part of a value that every spelling of it has: what is before the first escaped character."""
    return tokens.printable(value).split("\\")[0].split("'")[0].split('"')[0]


@pytest.mark.parametrize(("table", "value"), REFUSED)
def test_a_hostile_value_is_refused_by_its_name(project: Project, table: str, value: str) -> None:
    project.write("a.txt", "a")
    project.config(table.format(toml(value)))
    with pytest.raises(errors.TriggerError) as caught:
        project.plan()
    said = str(caught.value)
    diagnostics = getattr(caught.value, "diagnostics", ())
    said += "\n".join(f"{each.message} {each.line}" for each in diagnostics)
    assert shown(value) in said, said
    assert not Path("/evil").exists()


def test_there_are_at_least_fifty_of_them() -> None:
    assert len(REFUSED) >= 50


# What may be anything, and stays what it is.
QUOTES = 'it\'s "quoted" $HOME `id` $(id) \\ ; & | > /evil'


@pytest.mark.parametrize(
    "requirement", ["x ; python_version > '3' or $(touch /evil)", "x @ https://e/`id`.whl"]
)
def test_a_requirement_is_one_word_for_the_shell(project: Project, requirement: str) -> None:
    project.config(f"[build.extensions.python]\nrequirements = [{toml(requirement)}]\n")
    (command,) = [each for each in project.layer("python")["commands"] if "pip install" in each]
    assert shlex.split(command)[-1] == requirement
    check(project.containerfile())


def test_a_name_of_a_schema_is_one_word_for_the_shell(project: Project) -> None:
    name = "it's $(id) `id`; x.prisma"
    project.write(name, "model A {\n  id Int @id\n}\n")
    project.config(f"[build.extensions.prisma]\nversion = '0.15.0'\nschema = {toml(name)}\n")
    command = project.layer("prisma")["commands"][0]
    assert shlex.split(command)[-1] == f"--schema=/app/{name}"
    check(project.containerfile())


def test_commands_reach_only_their_own_run(project: Project, tmp_path: Path) -> None:
    evil = f'true"]\nRUN touch /evil\n# "; echo {QUOTES}'
    env = {"env": {"A": QUOTES}}
    project.extension(
        f"context.add_layer({{'id': 'first', 'commands': [{evil!r}], 'build': {env!r}}})",
        "context.add_layer({'id': 'second', 'commands': ['echo second']})",
    )
    text = project.containerfile()
    check(text)
    runs = [json.loads(line[line.index("[") :]) for line in text.splitlines() if line.startswith("RUN")]
    assert [evil in words for words in runs].count(True) == 1
    assert f"A={QUOTES}" in next(words for words in runs if evil in words)
    done = subprocess.run(
        ["/usr/bin/env", f"A={QUOTES}", "/bin/sh", "-euc", 'printf %s "$A"'], capture_output=True, text=True
    )
    assert done.stdout == QUOTES


def test_values_of_variables_are_not_read_by_anything(project: Project) -> None:
    project.write("envs.py", f"def sync(ctx):\n    return {{'A': {QUOTES!r}}}\n")
    project.config(f"{SYNC}\n[deploy.env]\nB = {toml(QUOTES)}\n")
    assert project.outcome().variables({}) == {"A": QUOTES, "B": QUOTES}
    text = project.containerfile()
    check(text)
    assert QUOTES not in text
