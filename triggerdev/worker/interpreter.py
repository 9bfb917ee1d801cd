"""Which Python runs the user's code, and how our programs are started with it."""

import shlex
import subprocess
import sys
from pathlib import Path

import triggerdev
from triggerdev import errors
from triggerdev._version import __version__

_CHECK_SECONDS = 30
_ASK_VERSION = "from triggerdev._version import __version__; print(__version__)"
_RUN_MODULE = (
    "import runpy, sys; sys.path.append({home!r}); "
    "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)


def find_interpreter(root: Path) -> Path:
    """Return the interpreter of the `.venv` beside the config, else the running one.

    It may be a link to a Python that is gone; `check_interpreter` says so.
    """
    for candidate in (root / ".venv" / "bin" / "python", root / ".venv" / "Scripts" / "python.exe"):
        if candidate.is_file() or candidate.is_symlink():
            return candidate
    return Path(sys.executable)


def ask(root: Path, code: str, argument: str) -> str | None:
    """Run a line of code in the project's interpreter; gives what it prints, None if it does not run."""
    try:
        done = subprocess.run(
            [find_interpreter(root), "-I", "-c", code, argument],
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def check_interpreter(interpreter: Path) -> None:
    """Make sure that an interpreter has this version of triggerdev.

    Raises EnvironmentProblemError, which says how to install it, when it has none or another one.
    """
    if _is_running(interpreter):
        return
    try:
        answer = subprocess.run(
            [interpreter, "-P", "-c", _ASK_VERSION],
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no answer in {_CHECK_SECONDS} s"
        folder = shlex.quote(str(interpreter.parents[1]))
        raise errors.EnvironmentProblemError(
            f"The project's interpreter {interpreter} does not run: {reason}. Create the environment again: "
            f"{shlex.quote(sys.executable)} -m venv --clear {folder}"
        ) from error
    install = f"Install it there: {shlex.quote(str(interpreter))} -m pip install {_what_to_install()}"
    if answer.returncode != 0:
        raise errors.EnvironmentProblemError(
            f"The project's interpreter {interpreter} cannot import triggerdev, so it cannot run tasks. "
            f"{install}"
        )
    found = answer.stdout.strip()
    if found != __version__:
        raise errors.EnvironmentProblemError(
            f"The project's interpreter {interpreter} has triggerdev {found}, but this command is "
            f"{__version__}; they must agree. {install}"
        )


def _what_to_install() -> str:
    """Name this version for pip: the source checkout that runs, if it is one."""
    home = Path(triggerdev.__path__[0]).parent
    is_checkout = (home / "pyproject.toml").is_file()
    return shlex.quote(str(home)) if is_checkout else f"triggerdev=={__version__}"


def module_command(interpreter: Path, module: str) -> list[str]:
    """Return the command line that runs one of our modules, without the current folder on its path.

    The running interpreter finds the package that is running now, also when it is a source checkout.
    """
    if not _is_running(interpreter):
        return [str(interpreter), "-P", "-m", module]
    home = str(Path(triggerdev.__path__[0]).parent)
    return [str(interpreter), "-P", "-c", _RUN_MODULE.format(home=home, module=module)]


def _is_running(interpreter: Path) -> bool:
    return interpreter == Path(sys.executable)
