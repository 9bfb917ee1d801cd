"""A project that has been imported, in two forms: what the executor runs, and the manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triggerdev.protocol import Manifest, SourceProblem, WorkerSettings
from triggerdev.sdk import registry
from triggerdev.worker import loader
from triggerdev.worker.executor import Project, describe_tasks


@dataclass(frozen=True, slots=True)
class ImportedProject:
    """The tasks of a version, ready to execute; with `problems` it is not."""

    root: Path
    project: Project
    manifest: Manifest
    modules: list[str]
    files: list[str]
    problems: list[SourceProblem]


def import_project(
    settings: WorkerSettings, version: str, on_file: Callable[[str], None] = lambda _: None
) -> ImportedProject:
    """Import a project into this process; problems are collected, never raised.

    `on_file` is told each file before it is imported.
    """
    loaded = loader.load_project(settings, on_file)
    known = registry.current()
    project = Project(settings, version, known, loaded.hooks, loaded.init)
    problems = loaded.problems
    manifest = Manifest(
        tasks=[] if problems else describe_tasks(project),
        queues=[queue.info() for queue in known.queues.values()],
        files=loaded.files,
        packages=loaded.packages,
        threads=loaded.threads,
        hash=loaded.hash,
    )
    return ImportedProject(loaded.root, project, manifest, loaded.modules, loaded.files, problems)
