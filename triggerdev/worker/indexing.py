"""Imports a project once, in a clean process, to learn what tasks it has: for builds, CI and listings.

As a program (`python -m triggerdev.worker.indexing RESULT_FD PARENT`) it reads the settings from stdin and
writes the result to a file descriptor of its own, so that nothing that user code prints can break it.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from triggerdev import _json, errors
from triggerdev.protocol import Manifest, SourceProblem, WorkerSettings
from triggerdev.worker import processes
from triggerdev.worker.interpreter import module_command

_OUTPUT_SHOWN = 2000


class ProblemsFound(errors.BuildError):
    """A project that cannot be imported; `problems` are the single mistakes."""

    def __init__(self, problems: Sequence[SourceProblem]) -> None:
        super().__init__("\n".join(describe_problem(problem) for problem in problems))
        self.problems = list(problems)


def describe_problem(problem: SourceProblem) -> str:
    """Write a problem as "file:line: message", with its source line below."""
    text = f"{problem.get('file', '?')}:{problem.get('line', 1)}: {problem.get('message', '')}"
    source = problem.get("source_line", "").strip()
    return f"{text}\n    {source}" if source else text


def index_project(
    interpreter: Path,
    settings: WorkerSettings,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Manifest:
    """Import a project in a subprocess and return its manifest; see `Indexer`."""
    with Indexer(interpreter, Path(settings["root"]), env) as indexer:
        return indexer.index(settings, timeout)


class Indexer:
    """A process that imports one project: it starts at once and waits to be asked.

    To start it takes longer than to import most projects, so it can be started before it is known whether it
    is needed; no code of the project is executed until then. Raises EnvironmentProblemError when the
    interpreter does not start.
    """

    def __init__(self, interpreter: Path, root: Path, env: Mapping[str, str] | None = None) -> None:
        import tempfile

        with contextlib.ExitStack() as opened:
            self._result = opened.enter_context(tempfile.TemporaryFile())
            self._output = opened.enter_context(tempfile.TemporaryFile())
            fd = self._result.fileno()
            try:
                self._process = subprocess.Popen(
                    [*module_command(interpreter, "triggerdev.worker.indexing"), str(fd), str(os.getpid())],
                    cwd=root,
                    env=None if env is None else dict(env),
                    stdin=subprocess.PIPE,
                    stdout=self._output,
                    stderr=self._output,
                    pass_fds=[fd],
                    start_new_session=True,
                )
            except OSError as error:
                raise errors.EnvironmentProblemError(f"{interpreter} cannot be started: {error}.") from error
            if self._process.stdin is not None:
                opened.callback(self._process.stdin.close)
            self._opened = opened.pop_all()
        self._ending, self._has_ended = threading.Lock(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, unless it has, and forget what it gave."""
        self.end()
        self._opened.close()

    def end(self) -> None:
        """Kill the process with everything that its imports have started; `index` gives up then."""
        with self._ending:
            if self._has_ended:
                return
            self._has_ended = True
            for pid in processes.find_family(self._process.pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, 9)
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()

    def index(self, settings: WorkerSettings, timeout: float = 60) -> Manifest:
        """Import the project and return its manifest; to be called once.

        `timeout` is in seconds. Raises BuildError whose text lists file:line of each problem and whose
        `problems` holds them.
        """
        result, output = self._import(settings, timeout)
        if not result:
            shown = output[-_OUTPUT_SHOWN:].strip()
            raise errors.BuildError(
                f"Importing the project ended its process (status {self._process.returncode}) before the "
                "tasks were known." + (f" Its last output:\n{shown}" if shown else "")
            )
        answer = _json.loads(result)
        if answer["problems"]:
            raise ProblemsFound(answer["problems"])
        manifest: Manifest = answer["manifest"]
        return manifest

    def _import(self, settings: WorkerSettings, timeout: float) -> tuple[bytes, str]:
        """Let the process do its work; returns its result, and what was printed meanwhile."""
        try:
            self._process.communicate(_json.dump_bytes(settings), timeout)
        except subprocess.TimeoutExpired:
            raise errors.BuildError(
                f"Importing the project did not finish within {timeout:g} s. "
                "Something at module level waits or loops."
            ) from None
        finally:
            self.end()
        self._result.seek(0)
        self._output.seek(0)
        return self._result.read(), self._output.read().decode("utf-8", "replace")


def main(arguments: Sequence[str]) -> int:
    """Import the project whose settings are on stdin and write what was found."""
    fd, parent = int(arguments[0]), int(arguments[1])
    processes.die_with_parent(parent)
    from triggerdev.worker.project import import_project  # takes long, so before the settings are there

    settings: Any = _json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.set_inheritable(fd, False)
    project = import_project(settings)
    with os.fdopen(fd, "wb") as file:
        file.write(_json.dump_bytes({"problems": project.problems, "manifest": project.manifest}))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of user code must not keep it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
