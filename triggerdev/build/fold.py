"""Folding layers into the plan of an image: a pure function, and the order of what it gives.

Bottom to top, from what changes rarely to what changes with every edit:

    base          the base image
    apt-get       the packages of all extensions
    <id>:image    raw instructions, one layer for each extension that has some
    <id>          files and commands of placement "base"
    dependencies  the Python dependencies
    runtime       the part of this package that executes tasks
    <id>          files and commands of placement "dependencies"
    <id>          layers with commands of placement "app"
    <id>          layers with files only
    source        the project's own source

Layers with commands go before those with files only, so that editing a file executes nothing again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from triggerdev import errors
from triggerdev.build import files, keys, scripts, tokens
from triggerdev.build.dependencies import requirements_file
from triggerdev.build.layers import requirement
from triggerdev.build.plan import CORE, EXECUTED, STACKED, Contribution, ImagePlan, Parts, PlanLayer
from triggerdev.build.source import INIT_REQUIREMENTS, RUNTIME_REQUIREMENTS

APT = "apt-get"
RESERVED = ("base", "dependencies", "runtime", "source")


def fold(parts: Parts, contributions: Sequence[Contribution]) -> ImagePlan:
    """Make the plan of an image.

    Raises BuildError for two layers of one id, two versions of one package, and two files in one place.
    """
    _check_ids(contributions)
    above = [
        PlanLayer("runtime", CORE, "files", files=parts.runtime_files),
        *_placed(contributions, "dependencies"),
        *sorted(_placed(contributions, "app"), key=lambda layer: not layer.commands),
        PlanLayer("source", CORE, "files", files=parts.source),
    ]
    layers = [
        PlanLayer("base", CORE, "base"),
        *_apt(contributions),
        *_instructions(contributions),
        *_placed(contributions, "base"),
        _dependencies(parts, contributions, any(layer.kind in EXECUTED for layer in above)),
        *above,
    ]
    kept = files.without_collisions([(f"layer {layer.id}", layer.files) for layer in layers])
    settled = [replace(layer, files=entries) for layer, entries in zip(layers, kept, strict=True)]
    return ImagePlan(parts.runtime, parts.base, parts.platforms, tuple(_keyed(settled, parts)))


def _check_ids(contributions: Sequence[Contribution]) -> None:
    owners: dict[str, str] = {}
    for each in contributions:
        layer = each.layer
        if layer.id in RESERVED:
            raise errors.BuildError(
                f"extension {each.extension!r}: the layer id {layer.id!r} is one of our own"
            )
        if layer.id == APT and (layer.files or layer.commands):
            raise errors.BuildError(f"extension {each.extension!r}: the layer {APT!r} can only hold packages")
        if layer.id in owners:
            raise errors.BuildError(
                f"two layers have the id {layer.id!r}: one of extension {owners[layer.id]!r} and one of "
                f"extension {each.extension!r}; give one of them another id"
            )
        owners[layer.id] = each.extension


def _apt(contributions: Sequence[Contribution]) -> Iterator[PlanLayer]:
    wanted: dict[str, tuple[str | None, str]] = {}
    for each in contributions:
        for package in each.layer.image.pkgs:
            split = tokens.split_apt(package)
            if split is None:
                raise errors.BuildError(f"extension {each.extension!r}: {package!r} is no package")
            _want(wanted, split[0], split[1], each.extension)
    if not wanted:
        return
    packages = tuple(
        sorted(f"{name}={version}" if version else name for name, (version, _) in wanted.items())
    )
    owners = ", ".join(dict.fromkeys(each.extension for each in contributions if each.layer.image.pkgs))
    yield PlanLayer(APT, owners, "apt", packages=packages, script=scripts.shell("apt", packages))


def _want(wanted: dict[str, tuple[str | None, str]], name: str, version: str | None, extension: str) -> None:
    known, owner = wanted.get(name, (None, extension))
    if known and version and known != version:
        raise errors.BuildError(
            f"the package {name!r} is wanted as {known} by extension {owner!r} and as {version} by extension "
            f"{extension!r}; only one version can be installed"
        )
    wanted[name] = (known or version, owner if known else extension)


def _instructions(contributions: Sequence[Contribution]) -> Iterator[PlanLayer]:
    for each in contributions:
        lines = tuple(each.layer.image.instructions)
        if lines:
            env = tuple(sorted(each.layer.build.env.items()))
            yield PlanLayer(
                f"{each.layer.id}:image", each.extension, "instructions", instructions=lines, env=env
            )


def _placed(contributions: Sequence[Contribution], placement: str) -> Iterator[PlanLayer]:
    for each in contributions:
        layer = each.layer
        if layer.placement != placement or not (each.files or layer.commands):
            continue
        variables = tuple(sorted({**layer.deploy.env, **layer.deploy.secret_env}))
        if not layer.commands:
            yield PlanLayer(layer.id, each.extension, "files", files=each.files, variables=variables)
            continue
        env = tuple(sorted(layer.build.env.items()))
        yield PlanLayer(
            layer.id,
            each.extension,
            "commands",
            commands=tuple(layer.commands),
            files=each.files,
            env=env,
            secrets=tuple(sorted(layer.build.secrets)),
            variables=variables,
            script=scripts.shell("layer", layer.commands, env),
        )


def _dependencies(parts: Parts, contributions: Sequence[Contribution], wanted_above: bool) -> PlanLayer:
    """Make the layer of Python dependencies, executed if commands above want them or some are compiled."""
    found = parts.dependencies
    pins: dict[str, tuple[str, str]] = {}
    for each in contributions:
        for name, version in each.layer.dependencies.items():
            line = requirement(name, version)
            known, owner = pins.setdefault(tokens.normalise_distribution(name), (line, each.extension))
            if known != line:
                raise errors.BuildError(
                    f"the dependency {name!r} is wanted as {known!r} by extension {owner!r} and as {line!r} "
                    f"by extension {each.extension!r}"
                )
    lines = sorted({*RUNTIME_REQUIREMENTS, *INIT_REQUIREMENTS, *(line for line, _ in pins.values())})
    runtime = requirements_file("runtime.txt", lines, "triggerdev")
    locked = found.kind == "uv.lock"
    return PlanLayer(
        "dependencies",
        CORE,
        "dependencies" if wanted_above or found.source_only else "wheels",
        packages=tuple(sorted({*found.requirements, *lines})),
        inputs=(*found.inputs, runtime),
        secrets=parts.secrets,
        script=scripts.shell("uv", [scripts.UV_VERSION]) if locked else scripts.shell("pip"),
        python=parts.python,
    )


def _keyed(layers: Sequence[PlanLayer], parts: Parts) -> Iterator[PlanLayer]:
    """Give each layer its key; keys of executed layers hold those of all layers below."""
    below = ""
    for layer in layers:
        document = _document(layer, parts)
        if layer.kind in STACKED:
            document["below"] = below
        own = keys.key(document)
        below = keys.chained(below, own)
        yield replace(layer, key=own)


def _document(layer: PlanLayer, parts: Parts) -> dict[str, Any]:
    if layer.kind == "base":
        return {"base": parts.base, "platforms": sorted(parts.platforms)}
    document: dict[str, Any] = {"kind": layer.kind, "files": keys.described(layer.files)}
    if layer.kind == "wheels":
        document |= {"inputs": keys.described(layer.inputs), "python": layer.python}
    elif layer.kind in EXECUTED:
        document |= {
            "inputs": keys.described(layer.inputs),
            "instructions": list(layer.instructions),
            "env": [list(pair) for pair in layer.env],
            "secrets": list(layer.secrets),
            "script": list(layer.script),
        }
    return document
