"""The checks of `trigger doctor`: each looks at one thing, changes nothing, and says what to do about it."""

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from triggerdev import errors
from triggerdev.cli import project

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

Status = Literal["ok", "note", "warn", "fail"]

MIN_PYTHON = (3, 11)
DEV_PORT = 3030
_MB = 1_000_000
_LITTLE_SPACE = 1_000 * _MB
_NO_SPACE = 100 * _MB
_FEW_WATCHES = 8_192
_FEW_INSTANCES = 64
_ENGINE_SECONDS = 5


@dataclass(frozen=True)
class Check:
    """The outcome of one check; `note` is about something that only some projects need."""

    name: str
    status: Status
    message: str
    advice: str = ""


@dataclass(frozen=True)
class Subject:
    """What is looked at: the project's folder, if there is one, and how its config is to be read."""

    root: Path | None
    env_name: str = "dev"
    env_files: tuple[Path, ...] = ()


def run_checks(subject: Subject) -> Iterator[Check]:
    """Do all checks, one after the other; one that breaks is a failed one."""
    yield from _guarded("python", lambda: [python()])
    if subject.root is None:
        missing = f"no {project.CONFIG_NAME} here or above; the project is not checked"
        yield Check("config", "warn", missing, "go to your project, or run `trigger init`")
    else:
        yield from _guarded("config", lambda: project_checks(subject))
    folder = subject.root or Path.cwd()
    yield from _guarded("folder", lambda: [state_folder(folder)])
    yield from _guarded("disk", lambda: [disk(folder)])
    yield from _guarded("port", lambda: [port(folder)])
    yield from _guarded("watching", watching)
    yield from _guarded("memory", lambda: [memory_limits()])
    yield from _guarded("containers", lambda: [containers()])
    yield from _guarded("node", lambda: [node()])


def _guarded(name: str, checks: Callable[[], "Iterator[Check] | list[Check]"]) -> Iterator[Check]:
    try:
        yield from checks()
    except errors.TriggerError as error:
        yield Check(name, "fail", str(error))
    except (OSError, ValueError) as error:
        yield Check(name, "fail", f"cannot be checked: {error}")


def python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < MIN_PYTHON:
        return Check("python", "fail", found, "trigger needs Python 3.11 or newer")
    return Check("python", "ok", found)


def memory_limits() -> Check:
    """Say how the memory of runs is bounded here."""
    from triggerdev.worker.cgroups import find_groups
    from triggerdev.worker.confining import can_limit_data

    groups = find_groups(divide=False)
    if groups.folder is not None:
        return Check("memory", "ok", f"runs are bounded by control groups below {groups.folder}")
    if can_limit_data():
        return Check("memory", "ok", f"runs are bounded by what they map ({groups.reason})")
    return Check("memory", "note", "this system bounds no run: machines say what a run should use")


def project_checks(subject: Subject) -> Iterator[Check]:
    """Check the config, the project's interpreter and every task file, as far as the one before allows."""
    from triggerdev.config import load_config

    assert subject.root is not None
    try:
        loaded = load_config(
            subject.root,
            env_name=subject.env_name,
            environ=os.environ,
            env_files=subject.env_files,
        )
    except errors.ConfigError as error:
        yield Check("config", "fail", str(error).partition("\n")[0], "`trigger config check` shows it all")
        return
    yield Check("config", "ok", os.fspath(loaded.path))
    interpreter = _interpreter(loaded.root)
    yield interpreter
    if interpreter.status == "ok":
        yield from _tasks(loaded)


def _interpreter(root: Path) -> Check:
    from triggerdev.worker.interpreter import check_interpreter, find_interpreter

    found = find_interpreter(root)
    try:
        check_interpreter(found)
    except errors.EnvironmentProblemError as error:
        return Check("interpreter", "fail", str(error))
    return Check("interpreter", "ok", os.fspath(found))


def _tasks(loaded: "LoadedConfig") -> Iterator[Check]:
    from triggerdev.cli.indexing import index
    from triggerdev.worker.indexing import ProblemsFound

    try:
        manifest = index(loaded)
    except ProblemsFound as error:
        for problem in error.problems:
            place = f"{problem.get('file', '')}:{problem.get('line', '')}".strip(":")
            message = problem.get("message", "").partition("\n")[0]
            yield Check("tasks", "fail", f"{place}: {message}", "`trigger tasks list` shows the source")
        return
    except errors.BuildError as error:
        yield Check(
            "tasks", "fail", str(error).partition("\n")[0], "`trigger tasks list` shows what it printed"
        )
        return
    count = len(manifest["tasks"])
    if count == 0:
        advice = f"put a function with @task into a file of {', '.join(loaded.config.dirs)}"
        yield Check("tasks", "warn", "no tasks found", advice)
    else:
        files = {task.get("file") for task in manifest["tasks"]}
        yield Check("tasks", "ok", f"{_counted(count, 'task')} in {_counted(len(files), 'file')}")
    for module in manifest["threads"]:
        yield Check(
            "threads", "warn", f"importing {module} starts a thread", "start it in a task: reloads are faster"
        )


def state_folder(root: Path) -> Check:
    """Check that `.trigger` can be written, or made."""
    folder = root / ".trigger"
    place = folder if folder.exists() else root
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        advice = "make it writable: runs and their state are kept there"
        return Check("folder", "fail", f"{folder} cannot be written: {error.strerror}", advice)
    return Check("folder", "ok", f"{folder} can be written")


def disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free
    message = f"{free / _MB:,.0f} MB free at {root}"
    if free < _NO_SPACE:
        return Check("disk", "fail", message, "make space: a full disk refuses new runs")
    if free < _LITTLE_SPACE:
        return Check("disk", "warn", message, "make space before it is full")
    return Check("disk", "ok", message)


def port(root: Path, number: int = DEV_PORT) -> Check:
    """Check that the port of `trigger dev` is free, or that it is this project's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            if _own_port(root) == number:
                return Check("port", "ok", f"{number} is taken, by this project's own `trigger dev` it seems")
            advice = "`trigger dev` takes the next free one, or the one you give with --port"
            return Check("port", "warn", f"{number} cannot be used: {error.strerror}", advice)
    return Check("port", "ok", f"{number} is free")


def _own_port(root: Path) -> int | None:
    if not (root / project.KEY_FILE).is_file():
        return None
    return urlsplit(project.find_server(config=root).url).port


def watching(limits: Path = Path("/proc/sys/fs/inotify")) -> list[Check]:
    """Check the system's limits for watching files; there are none to read but on Linux."""
    if not limits.is_dir():
        return []
    watches, instances = (
        int((limits / name).read_text()) for name in ("max_user_watches", "max_user_instances")
    )
    message = f"{watches:,} watches, {instances:,} watchers"
    if watches < _FEW_WATCHES or instances < _FEW_INSTANCES:
        advice = "sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"
        return [Check("watching", "warn", f"low limits for watching files: {message}", advice)]
    return [Check("watching", "ok", message)]


def containers() -> Check:
    """Look for docker or podman, and for a daemon that answers."""
    found = [name for name in ("docker", "podman") if shutil.which(name)]
    if not found:
        return Check("containers", "note", "neither docker nor podman", "only building images needs one")
    for name in found:
        part = "Server" if name == "docker" else "Client"
        version = _first_line(name, "version", "--format", f"{{{{.{part}.Version}}}}")
        if version:
            return Check("containers", "ok", f"{name} {version}")
    advice = "start it before you build an image; running tasks needs none"
    return Check("containers", "note", f"{' and '.join(found)}: installed, but without an answer", advice)


def node() -> Check:
    version = _first_line("node", "--version") if shutil.which("node") else ""
    if not version:
        return Check("node", "note", "no Node.js", "only tasks in JavaScript or TypeScript need it")
    return Check("node", "ok", version)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _first_line(*command: str) -> str:
    """Return the first line that a program prints, empty if it fails or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_ENGINE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""
