"""From a loaded config to the plan of an image: extensions, dependencies, source, folded into layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build import (
    cache,
    dependencies,
    digests,
    hooks,
    image_settings,
    imports,
    lock,
    source,
    tokens,
)
from triggerdev.build.context import LogSink
from triggerdev.build.fold import fold
from triggerdev.build.oci.image import Settings
from triggerdev.build.plan import ImagePlan, Parts, PlanLayer
from triggerdev.config import config_error

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

_MINORS = (12, 13, 14, 11)
"""Minor versions of Python 3 that runtime "python" can mean, the preferred one first."""
_CLAUSE = re.compile(r"\s*(>=|<=|==|!=|~=|>|<)\s*3\.(\d+)(?:\.\S*)?\s*")


@dataclass(frozen=True)
class Planned:
    """What an image is to be made of, before anything of it is built and before its tasks are indexed."""

    plan: ImagePlan
    settings: Settings
    outcome: hooks.BuildOutcome
    parts: Parts
    record: cache.LayerRecord
    warnings: tuple[str, ...]


def plan_image(
    loaded: LoadedConfig,
    environment: str,
    env: Mapping[str, str],
    *,
    platforms: Sequence[str] = (),
    locked: bool = True,
    log: LogSink | None = None,
) -> Planned:
    """Run the extensions and fold the layers.

    `env` holds the known variables of the environment; `platforms` go before those of the config. Without
    `locked` there might as well be no trigger.lock. Neither
    network nor container engine are used. Raises ConfigError and BuildError for everything that would keep a
    build from starting, but for tasks that cannot be imported.
    """
    if not tokens.is_environment(environment):
        raise errors.UsageError(
            f"{environment!r} cannot be an environment's name: only letters, digits, '_' and '-' are possible"
        )
    _check_runtime(loaded)
    locked_to = lock.read(loaded.root) if locked else None
    with digests.remembered(loaded.root):
        outcome = hooks.run_extensions(loaded, "deploy", environment, env, log=log)
        parts = _parts(loaded, outcome, platforms)
        if locked_to is not None:
            parts = replace(parts, base=locked_to.pinned(parts.base))
            locked_to.check(outcome.pins)
        unprovided = _unprovided(loaded, outcome, parts)
    plan = fold(parts, outcome.contributions)
    settings = image_settings.of(plan, loaded.config.project)
    record, problem = cache.read_record(loaded.root)
    warnings = [*outcome.warnings, *([problem] if problem else []), *unprovided]
    _refuse_secrets(plan, settings, outcome)
    return Planned(plan, settings, outcome, parts, record, tuple(warnings))


def compiled_in_image(planned: Planned, packages: Sequence[str], loaded: LoadedConfig) -> Planned:
    """Plan anew, with the Python dependencies installed in the image, since some have no wheels."""
    found = replace(planned.parts.dependencies, source_only=tuple(packages))
    parts = replace(planned.parts, dependencies=found)
    plan = fold(parts, planned.outcome.contributions)
    settings = image_settings.of(plan, loaded.config.project)
    warning = f"{', '.join(packages)}: no wheel fits the image, so the dependencies are installed inside it"
    return replace(planned, plan=plan, settings=settings, parts=parts, warnings=(*planned.warnings, warning))


def _check_runtime(loaded: LoadedConfig) -> None:
    if not loaded.config.runtime.startswith("python"):
        message = f"images for the runtime {loaded.config.runtime!r} are not part of this version"
        raise config_error([loaded.diagnostic(("runtime",), message, help='use "python" or "python-3.12"')])
    base = loaded.config.build.base_image
    if base is not None and not tokens.is_image_reference(base):
        hint = 'write "name:tag", "registry/name:tag" or "name@sha256:..."'
        message = "this is no image reference"
        raise config_error([loaded.diagnostic(("build", "base_image"), message, help=hint)])


def _parts(loaded: LoadedConfig, outcome: hooks.BuildOutcome, platforms: Sequence[str]) -> Parts:
    build = loaded.config.build
    found = dependencies.find(loaded.root, build.dependencies)
    python = python_version(loaded.config.runtime, found)
    base = build.base_image or f"python:{python}-slim-bookworm"
    return Parts(
        loaded.config.runtime,
        base,
        tuple(platforms or build.platforms),
        found,
        source.runtime_files(),
        (*outcome.source, source.settings_file(loaded)),
        tuple(sorted(build.secrets)),
        python,
    )


def python_version(runtime: str, found: dependencies.Dependencies) -> str:
    """Give the Python of the image, such as "3.12": that of the runtime, else one that the project allows."""
    if runtime != "python":
        return runtime.removeprefix("python-")
    wanted = found.requires_python or ""
    clauses = [match for part in wanted.split(",") if (match := _CLAUSE.fullmatch(part))]
    for minor in _MINORS:
        if all(_allows(match[1], int(match[2]), minor) for match in clauses):
            return f"3.{minor}"
    raise errors.BuildError(f"no Python that this version knows satisfies requires-python = {wanted!r}")


def _allows(operator: str, limit: int, minor: int) -> bool:
    if operator in (">=", "~="):
        return minor >= limit
    if operator in ("<=", "=="):
        return minor <= limit if operator == "<=" else minor == limit
    return {">": minor > limit, "<": minor < limit, "!=": minor != limit}[operator]


def _unprovided(loaded: LoadedConfig, outcome: hooks.BuildOutcome, parts: Parts) -> list[str]:
    if not loaded.config.build.auto_detect_external:
        return []
    extra = [name for each in outcome.contributions for name in each.layer.dependencies]
    names = frozenset(tokens.normalise_distribution(name) for name in extra)
    return [
        f"{place} imports {name!r}, which nothing provides; add it to the dependencies, or to build.external"
        for name, place in imports.unprovided(outcome.source, parts.dependencies, outcome.externals, names)
    ]


def _refuse_secrets(plan: ImagePlan, settings: Settings, outcome: hooks.BuildOutcome) -> None:
    """Make sure that nothing that is told to an engine or stays in the image's config is a secret's value."""
    commands = (text for each in outcome.contributions for text in each.layer.deploy.commands)
    said = (*settings.env.values(), *settings.labels.values(), *commands)
    found = outcome.mask.reveals(
        "\n".join([*said, *(text for layer in plan.layers for text in _told(layer))])
    )
    if found:
        raise errors.BuildError(
            f"the value of {', '.join(found)} would become part of the image, in a command, an instruction "
            "or build.env; hand it to commands as a build secret: BuildEnv(secrets={...})"
        )


def _told(layer: PlanLayer) -> Iterator[str]:
    yield from (layer.id, *layer.packages, *layer.commands, *layer.instructions, *layer.script)
    yield from (f"{name}={value}" for name, value in layer.env)
    yield from (entry.destination for entry in (*layer.files, *layer.inputs))
