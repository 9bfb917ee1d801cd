"""`python -m triggerdev.worker COMMAND`: the program of the images that `trigger deploy` builds.

start    run the worker until SIGTERM (the default)
index    print the project's tasks as JSON; uses neither network nor secrets
health   exit with 0 if the worker here is ready, else say why not and exit with 1
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from triggerdev import errors

COMMANDS = ("start", "index", "health")
ROOT_VARIABLE = "TRIGGER_APP_DIR"


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    command = arguments[0] if arguments else "start"
    if command not in COMMANDS or len(arguments) > 1:
        sys.stderr.write(f"usage: python -m triggerdev.worker [{' | '.join(COMMANDS)}]\n")
        return 2
    try:
        return _run(command)
    except errors.UsageError as error:
        sys.stderr.write(f"trigger worker: {error}\n")
        return 2
    except errors.TriggerError as error:
        sys.stderr.write(f"trigger worker: {error}\n")
        return 1


def _run(command: str) -> int:
    if command == "health":
        from triggerdev.worker.deployed import health

        why = health.problem()
        if why:
            sys.stderr.write(f"trigger worker: {why}\n")
        return 1 if why else 0
    from triggerdev.worker.deployed import code

    settings = code.read_settings(Path(os.environ.get(ROOT_VARIABLE) or code.APP))
    if command == "index":
        from triggerdev.worker.deployed import indexing

        return indexing.print_index(settings)
    from triggerdev.worker.deployed import service

    return service.run(settings, os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
