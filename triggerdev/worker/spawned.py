"""A worker that imports the user's code by itself, for versions in which a thread forbids to fork.

Started as `python -m triggerdev.worker.spawned PARENT_PID KIND CHANNEL_FD LOAD_FD GROUP`; the file LOAD_FD
holds the `load` message and the contents of the version's files, which may have been edited since.
"""

import os
import signal
import socket
import sys
from collections.abc import Sequence

from triggerdev import _json
from triggerdev.worker import processes
from triggerdev.worker.project import import_project
from triggerdev.worker.running import run_worker

_IMPORT_FAILED_EXIT_CODE = 70


def main(arguments: Sequence[str]) -> int:
    """Import the project and execute runs; returns the exit code."""
    parent, kind, channel, load_file = int(arguments[0]), arguments[1], int(arguments[2]), int(arguments[3])
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    processes.die_with_parent(parent)
    sock = socket.socket(fileno=channel)
    sock.set_inheritable(False)
    with os.fdopen(load_file, "rb") as file:
        load = _json.loads(file.read())
    project = import_project(load["settings"], snapshot=load["contents"])
    if project.problems:
        print(f"The project cannot be imported any more: {project.problems[0]['message']}", file=sys.stderr)  # noqa: T201
        return _IMPORT_FAILED_EXIT_CODE
    run_worker(kind, sock, project, arguments[4] or None)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of user code must not keep a worker that has ended
