"""Imports a project once, in a clean process, to learn what tasks it has: for builds, CI and listings.

As a program (`python -m triggerdev.worker.indexing RESULT_FD`) it reads the settings from stdin and writes
the result to a file descriptor of its own, so that nothing that user code prints can break it.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """Import a project in a subprocess and return its manifest.

    `timeout` is in seconds. Raises BuildError whose text lists file:line of each problem and whose `problems`
    holds them, EnvironmentProblemError when the interpreter does not start.
    """
    result, output, status = _run(interpreter, settings, env, timeout)
    if not result:
        shown = output[-_OUTPUT_SHOWN:].strip()
        raise errors.BuildError(
            f"Importing the project ended its process (status {status}) before the tasks were known."
            + (f" Its last output:\n{shown}" if shown else "")
        )
    answer = _json.loads(result)
    if answer["problems"]:
        raise ProblemsFound(answer["problems"])
    manifest: Manifest = answer["manifest"]
    return manifest


def _run(
    interpreter: Path, settings: WorkerSettings, env: Mapping[str, str] | None, timeout: float
) -> tuple[bytes, str, int]:
    """Run the program; returns its result, what was printed meanwhile, and its exit status."""
    import tempfile

    with tempfile.TemporaryFile() as result, tempfile.TemporaryFile() as output:
        command = [*module_command(interpreter, "triggerdev.worker.indexing"), str(result.fileno())]
        try:
            process = subprocess.Popen(
                command,
                cwd=settings["root"],
                env=None if env is None else dict(env),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[result.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            raise errors.EnvironmentProblemError(f"{interpreter} cannot be started: {error}.") from error
        try:
            process.communicate(_json.dump_bytes(settings), timeout)
        except subprocess.TimeoutExpired:
            raise errors.BuildError(
                f"Importing the project did not finish within {timeout:g} s. "
                "Something at module level waits or loops."
            ) from None
        finally:
            _end(process)
        result.seek(0)
        output.seek(0)
        return result.read(), output.read().decode("utf-8", "replace"), process.returncode


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process with everything that its imports have started."""
    for pid in processes.find_family(process.pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, 9)
    if process.poll() is None:
        process.kill()
    process.wait()


def main(arguments: Sequence[str]) -> int:
    """Import the project whose settings are on stdin and write what was found."""
    from triggerdev.worker.project import import_project

    settings: Any = _json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    fd = int(arguments[0])
    os.set_inheritable(fd, False)
    project = import_project(settings)
    with os.fdopen(fd, "wb") as file:
        file.write(_json.dump_bytes({"problems": project.problems, "manifest": project.manifest}))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of user code must not keep it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
