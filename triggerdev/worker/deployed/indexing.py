"""`python -m triggerdev.worker index`: the tasks of an image as one JSON object on stdout."""

import os
import sys

from triggerdev import _json
from triggerdev.protocol import WorkerSettings


def print_index(settings: WorkerSettings) -> int:
    """Import the project and print {"problems", "manifest"}; never returns if that works.

    What user code prints meanwhile goes to stderr, and threads that it has started do not keep the process.
    """
    from triggerdev.worker.project import import_project

    result = os.dup(1)
    os.set_inheritable(result, False)
    os.dup2(2, 1)
    project = import_project(settings)
    with os.fdopen(result, "wb") as file:
        file.write(_json.dump_bytes({"problems": project.problems, "manifest": project.manifest}) + b"\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
