"""What a build put into the image beside the code, and how code is told from other code."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triggerdev import errors
from triggerdev.protocol import Manifest, WorkerSettings

APP = "/app"
SETTINGS = ".trigger/worker.json"
"""Where a project's folder in the image holds its worker settings."""
HASH_VARIABLE = "TRIGGER_MANIFEST_HASH"
"""Set by the image: what `manifest_hash` gave when the tasks were indexed."""

_NOT_COMPARED = ("payload_schema",)
"""Made by libraries whose versions may differ between the places where tasks are indexed."""


def read_settings(root: Path) -> WorkerSettings:
    """Read the worker settings below a project's folder. Raises EnvironmentProblemError if there are none."""
    path = root / SETTINGS
    try:
        settings: WorkerSettings = json.loads(path.read_bytes())
        settings["root"] = str(root)
    except (OSError, ValueError, TypeError) as error:
        raise errors.EnvironmentProblemError(
            f"cannot read {path}: {error}; `python -m triggerdev.worker` is for images that `trigger deploy` "
            "has built"
        ) from None
    return settings


def manifest_hash(manifest: Manifest) -> str:
    """Give a hash of a project's files, tasks and queues: 64 hexadecimal digits."""
    tasks = sorted((_compared(task) for task in manifest["tasks"]), key=lambda task: str(task.get("id")))
    whole = {"hash": manifest["hash"], "tasks": tasks, "queues": manifest["queues"]}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _compared(task: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name not in _NOT_COMPARED}


def check_hash(manifest: Manifest, expected: str) -> None:
    """Compare what was imported with what was indexed at deploy; raises BuildError if they differ."""
    found = manifest_hash(manifest)
    if expected and found != expected:
        raise errors.BuildError(
            f"the image's code is not what was indexed when it was deployed (manifest {found[:12]} instead "
            f"of {expected[:12]}): tasks depend on where they are imported, or files were changed; redeploy"
        )
