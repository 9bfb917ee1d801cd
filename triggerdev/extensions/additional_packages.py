"""`additional-packages`: command-line tools that tasks start, from npm and from PyPI."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pydantic

from triggerdev.build import tokens
from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildEnv, BuildLayer
from triggerdev.build.options import Options
from triggerdev.extensions import downloads, support

_PIP = "pip:"
_NPM = re.compile(
    r"((?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*)(?:@([A-Za-z0-9^~][A-Za-z0-9.+_-]*))?"
)
_PYPI = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._,-]+\])?)(?:==([0-9][A-Za-z0-9.+!_-]*))?"
)
# Tools of a Python package are the commands that it says it has.
_LINK = (
    "import importlib.metadata as m, os, sys\n"
    "names = [e.name for e in m.distribution(sys.argv[1]).entry_points if e.group == 'console_scripts']\n"
    "assert names, sys.argv[1] + ' has no commands'\n"
    "for name in names:\n"
    "    os.symlink(os.path.join(sys.prefix, 'bin', name), '/usr/local/bin/' + name)\n"
)


@dataclass(frozen=True)
class Tool:
    """A package with commands; `version` is None for the newest."""

    name: str
    version: str | None
    is_python: bool


def parse(text: str) -> Tool:
    """Read "name", "name@version", "pip:name" or "pip:name==version". Raises ValueError with the text."""
    is_python = text.startswith(_PIP)
    match = _PYPI.fullmatch(text.removeprefix(_PIP)) if is_python else _NPM.fullmatch(text)
    if match is None or len(text) > 214:
        raise ValueError(
            f'{text!r} is no package: write "name" or "name@1.2.3" for npm, "pip:name" or "pip:name==1.2.3" '
            "for PyPI"
        )
    return Tool(match[1], match[2], is_python)


def _package(text: str) -> str:
    parse(text)
    return text


class AdditionalPackagesOptions(Options):
    """`packages`: npm's as "name@version", PyPI's as "pip:name==version"; `node`: what npm's tools run in."""

    packages: list[Annotated[str, pydantic.AfterValidator(_package)]] = pydantic.Field(min_length=1)
    node: Annotated[str, pydantic.AfterValidator(downloads.version_of("node"))] = support.NODE


class AdditionalPackages(BuildExtension):
    """Install tools outside of the project's own environment, and put their commands into /usr/local/bin."""

    name = "additional-packages"
    Options = AdditionalPackagesOptions
    options: AdditionalPackagesOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the tools, below the project's dependencies."""
        if context.target != "deploy":
            return
        tools = [self._settled(context, parse(text)) for text in self.options.packages]
        of_npm = [tool for tool in tools if not tool.is_python]
        if of_npm:
            context.add_layer(support.node(context, self.options.node, self.name))
        home = f"{support.FOLDER}/{self.name}"
        commands = [_from_pypi(home, tool) for tool in tools if tool.is_python]
        if of_npm:
            commands.append(_from_npm(home, of_npm))
        secrets = dict.fromkeys(context.config.build.secrets)
        context.add_layer(
            BuildLayer(id=self.name, placement="base", commands=commands, build=BuildEnv(secrets=secrets))
        )

    def _settled(self, context: BuildContext, tool: Tool) -> Tool:
        """Give a tool without a version the one that is installed here; warn if there is none."""
        if tool.version is not None:
            return tool
        found = _python_version(context, tool.name) if tool.is_python else _node_version(context, tool.name)
        if found is None:
            context.logger.warn(
                f"{tool.name} is not pinned and not installed here, so the image gets the newest: write "
                + (f'"pip:{tool.name}==..."' if tool.is_python else f'"{tool.name}@..."')
            )
        return Tool(tool.name, found, tool.is_python)


def _python_version(context: BuildContext, name: str) -> str | None:
    return support.installed_version(context.working_dir, tokens.requirement_name(name))


def _node_version(context: BuildContext, name: str) -> str | None:
    try:
        found = json.loads((context.working_dir / "node_modules" / name / "package.json").read_bytes())
        version = found["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, str) and _NPM.fullmatch(f"x@{version}") else None


def _from_pypi(home: str, tool: Tool) -> str:
    bare = tokens.requirement_name(tool.name)
    place = f"{home}/pip/{bare}"
    wanted = f"{tool.name}=={tool.version}" if tool.version else tool.name
    pip = f"{place}/bin/python -m pip install --disable-pip-version-check --no-cache-dir --no-compile"
    link = f"{place}/bin/python -c {shlex.quote(_LINK)} {bare}"
    return f"python -m venv {place}\n{pip} {shlex.quote(wanted)}\n{link}"


def _from_npm(home: str, tools: Sequence[Tool]) -> str:
    wanted = " ".join(shlex.quote(f"{tool.name}@{tool.version or 'latest'}") for tool in tools)
    return (
        f"npm install --global --prefix {home}/npm --cache /tmp/npm --no-audit --no-fund -- {wanted}\n"
        f"ln -s {home}/npm/bin/* /usr/local/bin/\nrm -rf /tmp/npm /root/.npm"
    )
