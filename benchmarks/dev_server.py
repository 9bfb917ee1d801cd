"""A `trigger dev` of a copy of `benchmarks/project`, and a plain client for it."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
START_SECONDS = 60


class DevServer:
    """Starts `trigger dev` in a folder and stops it at the end."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        shutil.copytree(HERE / "project", self.project)
        self._log = (folder / "dev.log").open("wb")
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("TRIGGER_", "PYTHONDONTWRITE"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "triggerdev", "dev", str(self.project), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environ,
            cwd=HERE.parent,
        )

    def __enter__(self) -> "DevServer":
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if json.loads(line)["type"] == "ready":
                break
        else:
            raise RuntimeError(f"trigger dev ended with {self._process.wait()}")
        drain = ["cat"]  # keeps the pipe empty without costing this process anything
        self._drain = subprocess.Popen(drain, stdin=self._process.stdout, stdout=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)
        self._drain.wait(30)
        self._log.close()

    def address(self) -> tuple[str, str]:
        """Give URL and key."""
        lines = (self.project / ".trigger" / "dev.env").read_text(encoding="utf-8").split()
        values = dict(line.split("=", 1) for line in lines)
        return values["TRIGGER_API_URL"], values["TRIGGER_SECRET_KEY"]

    def client(self) -> "Client":
        return Client(*self.address())


class Client:
    """One keep-alive connection; as little work as possible on our side."""

    def __init__(self, url: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }

    def call(self, method: str, path: str, body: Any = None, raw: bytes | None = None) -> Any:
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        self._connection.request(method, path, data, self._headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer}")
        return answer

    def trigger(self, task: str, payload: Any) -> str:
        answer = self.call("POST", f"/api/v1/tasks/{task}/trigger", {"payload": payload})
        return str(answer["id"])

    def result(self, run_id: str) -> Any:
        """Wait for a run's end by long polls."""
        since = 0
        while True:
            run = self.call("GET", f"/api/v3/runs/{run_id}?wait=20&since={since}")
            if run["isCompleted"]:
                return run
            since = run["rev"]
