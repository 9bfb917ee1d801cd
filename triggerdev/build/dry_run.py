"""The whole plan of a deployment and its public form: `trigger deploy --dry-run` without its printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triggerdev.build import compared, document, folder, hooks, render, tasks
from triggerdev.build.context import LogSink
from triggerdev.build.deploy_plan import Planned, plan_image
from triggerdev.build.deployments import Deployment, Deployments
from triggerdev.build.plan import ImagePlan, Parts, PlanLayer
from triggerdev.protocol import Manifest

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig


@dataclass(frozen=True)
class DeployPlan:
    """A plan that a build could start from; `document` is its public form, `build_dir` was written."""

    plan: ImagePlan
    outcome: hooks.BuildOutcome
    document: dict[str, Any]
    build_dir: Path


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
