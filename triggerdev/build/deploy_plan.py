"""From a loaded config to the whole plan of a deployment: `trigger deploy --dry-run` without its printing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triggerdev import errors
from triggerdev.build import (
    cache,
    compared,
    dependencies,
    digests,
    document,
    folder,
    hooks,
    image_settings,
    imports,
    render,
    source,
    tasks,
    tokens,
)
from triggerdev.build.context import LogSink
from triggerdev.build.deployments import Deployment, Deployments
from triggerdev.build.fold import fold
from triggerdev.build.oci.image import Settings
from triggerdev.build.plan import ImagePlan, Parts, PlanLayer
from triggerdev.config import config_error
from triggerdev.protocol import Manifest

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


@dataclass(frozen=True)
class DeployPlan:
    """A plan that a build could start from; `document` is its public form, `build_dir` was written."""

    plan: ImagePlan
    outcome: hooks.BuildOutcome
    document: dict[str, Any]
    build_dir: Path


def plan_image(
    loaded: LoadedConfig,
    environment: str,
    env: Mapping[str, str],
    *,
    platforms: Sequence[str] = (),
    log: LogSink | None = None,
) -> Planned:
    """Run the extensions and fold the layers.

    `env` holds the known variables of the environment; `platforms` go before those of the config. Neither
    network nor container engine are used. Raises ConfigError and BuildError for everything that would keep a
    build from starting, but for tasks that cannot be imported.
    """
    if not tokens.is_environment(environment):
        raise errors.UsageError(
            f"{environment!r} cannot be an environment's name: only letters, digits, '_' and '-' are possible"
        )
    _check_runtime(loaded)
    with digests.remembered(loaded.root):
        outcome = hooks.run_extensions(loaded, "deploy", environment, env, log=log)
        parts = _parts(loaded, outcome, platforms)
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


def make_plan(
    loaded: LoadedConfig,
    environment: str,
    env: Mapping[str, str],
    *,
    importing: tasks.Importing | None = None,
    log: LogSink | None = None,
) -> DeployPlan:
    """Plan an image, index the tasks here and write the build folder: all of a dry run.

    `importing` is what imports the tasks, where that was started before. Raises what `plan_image` raises, and
    BuildError for tasks that cannot be imported.
    """
    planned = plan_image(loaded, environment, env, log=log)
    manifest = importing.begin(loaded).result() if importing else tasks.index(loaded)
    whole = document_of(loaded, planned, environment, manifest)
    build_dir = write_folder(loaded, planned, environment, whole)
    if log is not None:
        _explain(planned.plan, planned.parts, whole, log)
    return DeployPlan(planned.plan, planned.outcome, whole, build_dir)


def document_of(
    loaded: LoadedConfig, planned: Planned, environment: str, manifest: Manifest
) -> dict[str, Any]:
    """Give the public form of a plan, compared with the version that is current here."""
    history = Deployments(loaded.root, environment)
    built = _Document(planned, environment, compared.current(history))
    return built.make([tasks.describe(task) for task in manifest["tasks"]])


def write_folder(loaded: LoadedConfig, planned: Planned, environment: str, whole: dict[str, Any]) -> Path:
    """Write the build folder, which shows what is built."""
    build_dir = loaded.root / hooks.FOLDER / environment
    containerfile = render.render(planned.plan, planned.settings)
    folder.write(build_dir, planned.plan, containerfile, {**whole, "image": _image(planned.plan)})
    return build_dir


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


class _Document:
    """The public form of a plan."""

    def __init__(self, planned: Planned, environment: str, before: Deployment | None) -> None:
        self.planned, self.plan = planned, planned.plan
        self.environment = environment
        self.before = before

    def make(self, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Give the document as plain data, checked against its own schema."""
        env = self.planned.outcome.env
        described = sorted(found, key=lambda task: str(task["id"]))
        whole = {
            "version": document.VERSION,
            "runtime": self.plan.runtime,
            "base": self.plan.base,
            "layers": [self._layer(layer) for layer in self.plan.layers],
            "tasks": compared.tasks(described, self.before),
            "env": [
                {
                    "name": each.name,
                    "change": compared.variable(each.name, self.before),
                    "secret": each.secret,
                }
                for each in env
            ],
            "deploy_commands": [
                {"extension": each.extension, "command": command, "secrets": each.layer.deploy.secrets}
                for each in self.planned.outcome.contributions
                for command in each.layer.deploy.commands
            ],
            "current": self.before.version if self.before else None,
            "removed": compared.removed(
                self.before, (str(task["id"]) for task in found), (each.name for each in env)
            ),
            "warnings": list(self.planned.warnings),
            "build_dir": f"{hooks.FOLDER}/{self.environment}",
        }
        return document.PlanDocument.model_validate(whole).model_dump(mode="json")

    def _layer(self, layer: PlanLayer) -> dict[str, Any]:
        status = self.planned.record.status(layer.id, layer.key)
        return {
            "id": layer.id,
            "extension": layer.extension,
            "key": layer.key,
            "size": layer.size,
            "status": status.status,
            "reason": status.reason,
            "packages": list(layer.packages),
            "commands": [*layer.instructions, *layer.commands],
            "files": [entry.destination for entry in layer.files],
            "env": sorted({*(name for name, _ in layer.env), *layer.secrets, *layer.variables}),
        }


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


def _image(plan: ImagePlan) -> list[dict[str, Any]]:
    """Describe each file of each layer for build.json."""
    return [
        {
            "id": layer.id,
            "kind": layer.kind,
            "folder": render.folder_of(layer) if layer.files or layer.inputs else None,
            "files": [
                {
                    "destination": entry.destination,
                    "source": entry.source,
                    "size": entry.size,
                    "mode": f"{entry.mode:04o}",
                    "sha256": entry.sha256,
                }
                for entry in (*layer.files, *layer.inputs)
            ],
        }
        for layer in plan.layers
    ]


_PLACES = {
    "base": "everything else is put on top of it",
    "apt": "packages of all extensions in one layer, as they change rarely",
    "instructions": "raw instructions run as root, after the system packages",
    "dependencies": "after the system packages, which building them may need",
    "wheels": "after the system packages; uv installs them on this machine, as nothing above executes",
    "commands": "layers that execute commands come before those with files only",
    "files": "only files: nothing is executed again when it changes",
}


def _explain(plan: ImagePlan, parts: Parts, whole: dict[str, Any], log: LogSink) -> None:
    """Log the reason for each decision."""
    kind = parts.dependencies.kind
    log(
        "debug",
        "plan",
        f"Python dependencies come from {kind} ({len(parts.dependencies.requirements)} found)",
    )
    log("debug", "plan", f"base image {plan.base} for runtime {plan.runtime}")
    for layer, shown in zip(plan.layers, whole["layers"], strict=True):
        log("debug", "plan", f"layer {layer.id}: {_PLACES[layer.kind]}")
        log("debug", "plan", f"layer {layer.id}: {shown['status']}, {shown['reason']} (key {layer.key[:12]})")
