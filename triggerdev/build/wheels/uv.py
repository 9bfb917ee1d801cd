"""Finding uv, and running it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from triggerdev import errors

_TIMEOUT = 1800.0
_FROM_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}
"""What pip reads and uv does not, and what uv calls it."""


_NOT_OURS = ("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", "UV_COMPILE_BYTECODE")


def find_uv() -> str:
    """Give uv's path: that of this installation, else the one on PATH.

    Raises EnvironmentProblemError if there is none.
    """
    try:
        from uv import find_uv_bin

        return os.fspath(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise errors.EnvironmentProblemError(
            "uv is not installed, which installs Python dependencies; run `pip install uv`"
        )
    return found


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Give uv's variables: ours, with pip's names for indexes and certificates understood, too."""
    ours = dict(environ)
    for pip, name in _FROM_PIP.items():
        if pip in ours and name not in ours:
            ours[name] = ours[pip]
    for name in _NOT_OURS:
        ours.pop(name, None)
    if (
        _has_certificates()
    ):  # those of a company's proxy are among them, and uv's own are not all that pip knows
        ours.setdefault("UV_SYSTEM_CERTS", "true")
    return ours | {"UV_NO_PROGRESS": "1", "NO_COLOR": "1", "UV_LINK_MODE": "hardlink"}


def _has_certificates() -> bool:
    """Tell whether this machine has a store of authorities that it trusts."""
    import ssl

    paths = ssl.get_default_verify_paths()
    return any(path and Path(path).exists() for path in (paths.cafile, paths.capath))


class Uv:
    """Runs uv in a folder. `mask` hides secrets in what it says; `log` gets its lines."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        mask: Callable[[str], str] = str,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.folder = folder
        self._environ = environment(environ)
        self._mask, self._log = mask, log

    def run(self, *arguments: str) -> tuple[bool, str]:
        """Run uv; gives whether it succeeded, and what it said, masked. Arguments hold no secrets."""
        return self._run([find_uv(), *arguments])

    def _run(self, command: Sequence[str]) -> tuple[bool, str]:
        try:
            ran = subprocess.run(
                command,
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise errors.BuildError(
                "uv did not end within 30 minutes; is the package index reachable?"
            ) from None
        said = self._mask(ran.stdout.decode("utf-8", "replace").strip())
        for line in said.splitlines():
            self._log(line)
        return ran.returncode == 0, said
