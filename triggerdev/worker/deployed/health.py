"""Whether the service is well: a small file that it renews, and the command that looks at it.

The times in it are of the system's monotonic clock, which all processes of a machine share, so a clock that
is set does no harm.
"""

import json
import os
import tempfile
import time
from pathlib import Path

EVERY = 2.0
"""Seconds between two signs of life."""
_TOO_OLD = 15.0

FOLDER_VARIABLE = "TRIGGER_HEALTH_DIR"


def state_file() -> Path:
    """Give the file's place: in TRIGGER_HEALTH_DIR, else in the folder for temporary files."""
    return Path(os.environ.get(FOLDER_VARIABLE) or tempfile.gettempdir()) / "trigger-worker.json"


def write_state(status: str) -> None:
    """Say how the service is: "starting", "ready" or "stopping"."""
    path = state_file()
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps({"status": status, "at": time.monotonic(), "pid": os.getpid()}), "utf-8")
    fresh.replace(path)


def problem() -> str | None:
    """Say why the service is not well; None if it is ready and has said so within the last 15 seconds."""
    try:
        state = json.loads(state_file().read_bytes())
        status, age = str(state["status"]), time.monotonic() - float(state["at"])
    except FileNotFoundError:
        return "no worker has started here"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{state_file()} cannot be read: {error}"
    if age > _TOO_OLD:
        return f"the worker has given no sign of life for {age:.0f} s"
    return None if status == "ready" else f"the worker is {status}"
