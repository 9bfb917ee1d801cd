"""Imports a project: its task files, hooks and init, and every problem in them at once."""

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from triggerdev import errors
from triggerdev.protocol import PluginSettings, SourceProblem, TelemetrySettings, WorkerSettings
from triggerdev.worker import discovery, processes
from triggerdev.worker.executor.telemetry import Part, Parts
from triggerdev.worker.importing import Sources, UserFinder, is_user_file, load_by_path, watch_threads
from triggerdev.worker.problems import problem_of, relative

OTLP_SPANS = "opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter"
OTLP_LOGS = "opentelemetry.exporter.otlp.proto.http._log_exporter:OTLPLogExporter"
_OTLP_HELP = " Install what sends OTLP: pip install 'triggerdev[otlp]'."
_DEFAULT_FOLDER = "./trigger"
_NO_PACKAGES = ("triggerdev", "__main__", "__mp_main__", "_distutils_hack", "sitecustomize")


@dataclass
class LoadedProject:
    """What importing a project gave. With `problems` the rest is incomplete.

    `files` are the user's files that were read (relative, sorted), `modules` the full names of other modules
    in the order of their import, `packages` their top-level names, `threads` what left a thread running.
    `contents` are the files' contents by absolute path, as latin-1 text.
    """

    root: Path
    hooks: dict[str, list[Callable[..., Any]]] = field(default_factory=dict)
    init: Callable[..., Any] | None = None
    telemetry: Parts = field(default_factory=Parts)
    problems: list[SourceProblem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    contents: dict[str, str] = field(default_factory=dict)
    hash: str = ""


def load_project(
    settings: WorkerSettings,
    on_file: Callable[[str], None] = lambda _: None,
    snapshot: Mapping[str, str] | None = None,
) -> LoadedProject:
    """Import everything that a project's settings name; problems are collected, never raised.

    `on_file` is told each file before it is imported, so that an import that hangs or ends the process can be
    named by somebody else. `snapshot` is the `contents` of an earlier load: the same code is imported again.
    """
    root = Path(settings["root"]).resolve()
    loader = _Loader(root, on_file, Sources(snapshot))
    prepare_path(root)
    sys.meta_path.insert(0, UserFinder(root, loader.sources))
    importlib.invalidate_caches()
    with watch_threads() as threads:
        loader.import_tasks(settings.get("dirs") or [_DEFAULT_FOLDER], settings.get("ignore") or [])
        loader.resolve_hooks(settings.get("hooks") or {}, settings.get("init"))
        loader.resolve_telemetry(settings.get("telemetry"))
    return loader.finish(threads)


def prepare_path(root: Path) -> None:
    """Put the project root, and its `src` folder unless that is a package, at the head of sys.path."""
    source = root / "src"
    wanted = [str(root)]
    if source.is_dir() and not (source / "__init__.py").exists():
        wanted.append(str(source))
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]


class _Loader:
    def __init__(self, root: Path, on_file: Callable[[str], None], sources: Sources) -> None:
        self.sources = sources
        self._on_file = on_file
        self._project = LoadedProject(root)
        self._root = root
        self._threads: list[str] = []

    def import_tasks(self, folders: list[str], ignore: list[str]) -> None:
        self._project.problems += discovery.missing_folders(self._root, folders)
        snapshot = self.sources.snapshot
        for file in discovery.find_task_files(self._root, folders, ignore):
            if snapshot is not None and str(file) not in snapshot:
                continue
            before = processes.thread_count()
            self._import_task_file(file)
            if processes.thread_count() > before:
                self._threads.append(relative(str(file), self._root))

    def resolve_hooks(self, hooks: dict[str, list[str]], init: str | None) -> None:
        for name, references in hooks.items():
            functions = [self._resolve(f"hooks.{name}", reference) for reference in references]
            self._project.hooks[name] = [function for function in functions if function is not None]
        if init:
            self._project.init = self._resolve("init", init)

    def resolve_telemetry(self, telemetry: TelemetrySettings | None) -> None:
        """Import what `[telemetry]` names; it is made in the processes that execute runs."""
        if telemetry is None:
            return
        parts = self._project.telemetry
        parts.resource = telemetry["resource"]
        parts.instrumentations = self._parts("instrumentations", telemetry["instrumentations"])
        parts.exporters = self._parts("exporters", telemetry["exporters"])
        parts.log_exporters = self._parts("log_exporters", telemetry["log_exporters"])
        otlp = telemetry["otlp"]
        if otlp is None:
            return
        for found, path, use in (
            (parts.exporters, "traces", OTLP_SPANS),
            (parts.log_exporters, "logs", OTLP_LOGS),
        ):
            options = {"endpoint": f"{otlp['endpoint']}/v1/{path}", "headers": otlp["headers"]}
            found += self._parts("otlp", [{"use": use, "options": options}])

    def _parts(self, name: str, plugins: list[PluginSettings]) -> list[Part]:
        setting = f"telemetry.{name}"
        made = [(plugin, self._resolve(setting, plugin["use"])) for plugin in plugins]
        return [
            Part(f"{setting} = {plugin['use']!r}", make, plugin["options"])
            for plugin, make in made
            if make is not None
        ]

    def finish(self, threads: list[str]) -> LoadedProject:
        project = self._project
        project.files = sorted(relative(path, self._root) for path in self.sources.digests)
        project.contents = self.sources.contents
        project.modules = _foreign_modules(self._root)
        project.packages = sorted({name.partition(".")[0] for name in project.modules})
        if processes.thread_count() > 1:
            project.threads = list(dict.fromkeys(threads or self._threads)) or ["(unknown)"]
        digest = hashlib.sha256()
        for path, content in sorted(self.sources.digests.items()):
            digest.update(f"{relative(path, self._root)}\0{content}\0".encode())
        project.hash = digest.hexdigest()[:16]
        return project

    def _import_task_file(self, file: Path) -> None:
        name = discovery.module_name(file)
        problem = discovery.nameless(file, self._root)
        if problem is None and discovery.is_importable(name):
            problem = discovery.shadowed(name, file, self._root)
        if problem is not None:
            self._add_problem(problem)
            return
        try:
            self._import_file(file)
        except BaseException as error:  # whatever user code does on import, the other files are looked at too
            self._add_problem(problem_of(error, self._root, file))

    def _import_file(self, file: Path) -> ModuleType:
        self._on_file(relative(str(file), self._root))
        name = discovery.module_name(file)
        if name in sys.modules:
            return sys.modules[name]
        if discovery.is_importable(name):
            return importlib.import_module(name)
        return load_by_path(name, file, self.sources)

    def _resolve(self, setting: str, reference: str) -> Callable[..., Any] | None:
        target, _, attribute = reference.partition(":")
        try:
            module = self._import_target(target)
            found: Any = module
            for part in attribute.split("."):
                found = getattr(found, part)
        except BaseException as error:  # as above
            self._add_problem(self._reference_problem(setting, reference, error))
            return None
        if not callable(found):
            wrong = errors.UsageError(f"{reference!r} is a {type(found).__name__}, not a function.")
            self._add_problem(self._reference_problem(setting, reference, wrong))
            return None
        return found  # type: ignore[no-any-return]  # user code: callable was checked, its signature cannot be

    def _import_target(self, target: str) -> ModuleType:
        if target.endswith(".py"):
            return self._import_file(Path(os.path.normpath(self._root / target)))
        self._on_file(target)
        return importlib.import_module(target)

    def _reference_problem(self, setting: str, reference: str, error: BaseException) -> SourceProblem:
        if isinstance(error, SyntaxError):
            return problem_of(error, self._root)
        problem = problem_of(error, self._root, kind="hook")
        problem["message"] = f"{setting} = {reference!r} cannot be used: {problem['message']}"
        if setting == "telemetry.otlp":
            problem["message"] += _OTLP_HELP
        if problem.get("file") == str(self._root):
            problem["file"] = "trigger.config.toml"
        return problem

    def _add_problem(self, problem: SourceProblem) -> None:
        keys = ("file", "line", "message")
        known = {tuple(other.get(key) for key in keys) for other in self._project.problems}
        if tuple(problem.get(key) for key in keys) not in known:
            self._project.problems.append(problem)


def _foreign_modules(root: Path) -> list[str]:
    """List imported modules that are neither the user's, nor ours, nor Python's own."""
    names = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in _NO_PACKAGES or top.startswith("_sysconfigdata"):
            continue
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not is_user_file(file, root):
            names.append(name)
    return names
