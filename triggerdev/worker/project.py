"""A project that has been imported, in two forms: what the executor runs, and the manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triggerdev.protocol import Manifest, SourceProblem, WorkerSettings
from triggerdev.sdk import registry
from triggerdev.worker import loader
from triggerdev.worker.executor import Project, describe_tasks
from triggerdev.worker.problems import definition_problem


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
    settings: WorkerSettings, on_file: Callable[[str], None] = lambda _: None
) -> ImportedProject:
    """Import a project into this process; problems are collected, never raised.

    `on_file` is told each file before it is imported.
    """
    loaded = loader.load_project(settings, on_file)
    project = Project.of(registry.current(), settings, loaded.hooks, loaded.init)
    problems = loaded.problems + [
        definition_problem(error, loaded.root, task.file, task.line) for task, error in project.check()
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
    return ImportedProject(loaded.root, project, manifest, loaded.modules, loaded.files, problems)
