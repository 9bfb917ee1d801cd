"""Run the command, and write down how it starts other programs: `python audited.py LOG deploy ...`."""

import sys
from pathlib import Path
from typing import Any

_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile")


def record(log: str) -> None:
    """Write a line for each program that this process starts from now on."""
    file = Path(log).open("a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - until the end

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STARTS:
            file.write(f"{event} {arguments[:2]!r}\n")
            file.flush()

    sys.addaudithook(hook)


if __name__ == "__main__":
    record(sys.argv.pop(1))
    from triggerdev.cli.main import run

    run()
