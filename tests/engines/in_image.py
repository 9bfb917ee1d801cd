"""Run one task in an image: the worker's own service, with a link that brings one run.

Mounted into a container and started with its Python, `python in_image.py TASK PAYLOAD`, it prints the message
that tells the end of the run. Durable operations need a server, so tasks that use them do not end here.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triggerdev.protocol import Manifest, Message
from triggerdev.worker.deployed import code
from triggerdev.worker.deployed.link import Worker
from triggerdev.worker.deployed.service import VERSION, Service


class OneRun:
    """Brings one run, and ends the service when that has ended."""

    def __init__(self, task: str, payload: str) -> None:
        self.task, self.payload = task, payload

    def send(self, messages: list[Message]) -> None:
        for message in messages:
            if message["t"] == "op":
                raise RuntimeError(f"{self.task} asks for a durable operation: {message}")
            if message["t"] == "done":
                print(json.dumps(message), flush=True)
                os.kill(os.getpid(), signal.SIGTERM)

    def pump(self) -> None:
        """Do nothing: there is one run."""

    async def run(self, worker: Worker, manifest: Manifest) -> None:
        now = round(time.time() * 1000)
        info = next(task for task in manifest["tasks"] if task["id"] == self.task)
        run: dict[str, Any] = {
            "id": "run_1",
            "token": 1,
            "task": self.task,
            "attempt": 1,
            "version": VERSION,
            "payload": self.payload,
            "payload_type": "application/json",
            "metadata": {},
            "tags": [],
            "queue": f"task/{self.task}",
            "machine": info.get("machine") or "small-1x",
            "max_duration_ms": None,
            "usage_ms": 0,
            "max_attempts": 1,
            "priority": 0,
            "created_at": now,
            "started_at": now,
            "attempt_started_at": now,
            "parent_id": None,
            "root_id": None,
            "batch_id": None,
            "depth": 0,
            "record": [],
        }
        worker.deliver([{"t": "start", "run": run}])
        await asyncio.Event().wait()


def main(arguments: Sequence[str]) -> int:
    task, payload = arguments
    service = Service(code.read_settings(Path(code.APP)), os.environ, OneRun(task, payload))
    return asyncio.run(service.run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
