"""A project that has been imported, in two forms: what the executor runs, and the manifest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from triggerdev.protocol import Manifest, SourceProblem, WorkerSettings
from triggerdev.sdk import registry
from triggerdev.worker import loader
from triggerdev.worker.executor.manifest import describe_tasks
from triggerdev.worker.executor.project import Project
from triggerdev.worker.executor.telemetry import Parts
from triggerdev.worker.problems import definition_problem


@dataclass(frozen=True, slots=True)
class ImportedProject:
    """The tasks of a version, ready to execute; with `problems` it is not."""

    root: Path
    project: Project
    manifest: Manifest
    modules: list[str]
    files: list[str]
    contents: dict[str, str]
    problems: list[SourceProblem]
    telemetry: Parts


def import_project(
    settings: WorkerSettings,
    on_file: Callable[[str], None] = lambda _: None,
    snapshot: Mapping[str, str] | None = None,
) -> ImportedProject:
    """Import a project into this process; problems are collected, never raised.

    `on_file` is told each file before it is imported; with the `contents` of an earlier import as `snapshot`
    the same code is imported again.
    """
    loaded = loader.load_project(settings, on_file, snapshot)
    project = Project.of(registry.current(), settings, loaded.hooks, loaded.init)
    problems = loaded.problems + [
        definition_problem(error, loaded.root, file, line) for file, line, error in project.check()
    ]
    tasks, queues = ([], []) if problems else describe_tasks(project)
    manifest = Manifest(
        tasks=tasks,
        queues=queues,
        files=loaded.files,
        packages=loaded.packages,
        threads=loaded.threads,
        hash=loaded.hash,
    )
    return ImportedProject(
        loaded.root,
        project,
        manifest,
        loaded.modules,
        loaded.files,
        loaded.contents,
        problems,
        loaded.telemetry,
    )
