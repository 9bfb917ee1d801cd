"""Debian's docker-registry on a free port; tests that need it are skipped without it, and fail in CI."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def needs_registry() -> str:
    """Give the program; skip the test without it, or fail it in CI."""
    program = shutil.which("docker-registry")
    if program is None:
        reason = "docker-registry is not installed (Debian: apt-get install docker-registry)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


@contextmanager
def debian_registry(folder: Path) -> Iterator[str]:
    """Run a registry that keeps its data below a folder; gives "localhost:port"."""
    program = needs_registry()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(_CONFIG.format(folder=folder / "registry", port=port))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
        try:
            _wait(process, port)
            yield f"localhost:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Connect until the registry listens."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            os.sched_yield()
        else:
            return
    pytest.fail(f"docker-registry ended with {process.returncode}; see registry.log")
