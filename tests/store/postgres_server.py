"""A private PostgreSQL for the tests, started when the first of them asks for it and ended with the process.

`TRIGGER_TEST_DATABASE_URL` names another one to use: its schemas `triggerdev_test*` are emptied.
"""

import atexit
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "postgres"
_NOT_INSTALLED = 3
_SECONDS = 120


class Server:
    """A PostgreSQL of its own, which a test may crash."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="triggerdev-postgres-", dir="/tmp")
        atexit.register(self.stop)
        self.url = self.start()

    def start(self) -> str:
        return self._run("start").stdout.strip()

    def crash(self) -> None:
        """End it at once, without a checkpoint and without goodbye to its clients."""
        self._run("crash")

    def stop(self) -> None:
        self._run("stop")
        atexit.unregister(self.stop)

    def _run(self, command: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [SCRIPT, command, self._folder], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if done.returncode == _NOT_INSTALLED:
            _cannot(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        return done


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def shared_url() -> str:
    """The URL of the server that all tests share; skips where none can be had, and fails there in CI."""
    return os.environ.get("TRIGGER_TEST_DATABASE_URL") or Server().url
