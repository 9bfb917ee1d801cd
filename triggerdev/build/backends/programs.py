"""Running the command line of an engine."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from triggerdev import errors

_QUICK = 60.0


def on_path(name: str, environ: Mapping[str, str]) -> list[Path]:
    """Find all programs of a name, in the order of PATH, each once."""
    found: dict[Path, Path] = {}
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder or ".") / name
        if path.is_file() and os.access(path, os.X_OK):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def ask(
    command: Sequence[str | Path], env: Mapping[str, str], timeout: float = _QUICK
) -> tuple[int, str, str]:
    """Run a program that answers soon; gives its exit code, stdout and stderr."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {timeout:g} s"
    except OSError as error:
        return 127, "", str(error.strerror or error)
    return done.returncode, done.stdout, done.stderr.strip()


def follow(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    cwd: Path | None = None,
) -> int:
    """Run a program and pass on the lines that it prints, as they come; gives its exit code.

    If this is interrupted, the program is ended first. Raises EnvironmentProblemError if it cannot start.
    """
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise errors.EnvironmentProblemError(f"cannot start {command[0]}: {error.strerror}") from None
    assert process.stdout is not None  # asked for above
    try:
        for line in process.stdout:
            on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
        return process.wait()
    finally:
        end(process)
        process.stdout.close()


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a program that still runs: politely, then not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def raise_if_full(text: str) -> None:
    """Raise StorageFullError if a text tells that an engine's disk is full."""
    if "no space left on device" in text:
        raise errors.StorageFullError(
            "the disk of the container engine is full; free some space (`docker system prune`)"
        )


def last_line(text: str) -> str:
    """Give the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it did not say why"
