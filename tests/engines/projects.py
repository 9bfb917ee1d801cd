"""Projects that are deployed with a real engine, by the command itself."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.machine import Machine

TASK = """\
from triggerdev import task


@task
async def hello(payload: str) -> str:
    return payload
"""
_PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass
class Project:
    """A project's folder, and an engine to deploy it with."""

    root: Path
    engine: Machine
    name: str

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def config(self, text: str = "", build: str = "") -> None:
        head = f'project = "{self.name}"\nruntime = "python-3.11"\n'
        self.write(
            "trigger.config.toml",
            f'{head}[build]\nbase_image = "{self.engine.base}"\nnetwork = "host"\n{build}\n{text}',
        )

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a `trigger` command here with no more of this environment than it needs."""
        return self.run_program([sys.executable, "-m", "triggerdev", *arguments], **environ)

    def run_program(self, command: Sequence[str], **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the same way."""
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        cache = {"HOME": str(self.root.parent), "TRIGGER_CACHE_DIR": str(self.root.parent / "cache")}
        return subprocess.run(
            command,
            cwd=self.root,
            env={**kept, **cache, "DOCKER_HOST": self.engine.docker_host, **environ},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def deploy(self, *arguments: str, **environ: str) -> dict[str, Any]:
        """Deploy, and give the object that the command prints."""
        done = self.run("deploy", "--json", "--progress", "plain", *arguments, **environ)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def refused(self, *arguments: str, **environ: str) -> str:
        """Deploy in vain, and give what was said."""
        done = self.run("deploy", "--progress", "plain", *arguments, **environ)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr
