"""The commands of the page about the command line print, in their order, what stands there."""

import asyncio
import os
import re
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

from tests.dev import kit

PAGE = kit.REPOSITORY / "docs" / "guide" / "command-line.md"
# What is another one each time, and looks alike.
VARIES = (
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "<date>"),
    (r"\b\d\d:\d\d:\d\d\.\d{3}\b", "<time>"),
    (r"\b\d+(?:\.\d+)?(?:ms|s)(?=\s|$)", "<duration>"),
    (r"\s+", " "),
)
ID = re.compile(r"\b(?:run|sched)_[0-9a-z]{20,}\b")


class Transcript:
    """Runs a page's commands; ids that it shows are those that its earlier commands have printed."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._ids: dict[str, str] = {}
        trigger = f'#!/bin/sh\nexec {sys.executable} -m triggerdev "$@"\n'
        (project / "bin").mkdir()
        (project / "bin" / "trigger").write_text(trigger)
        (project / "bin" / "trigger").chmod(0o755)

    def check(self, command: str, expected: list[str]) -> None:
        """Run a command as a shell does, and compare what it prints to stdout."""
        for shown, real in self._ids.items():
            command = command.replace(shown, real)
        environment = kit.clean_environment()
        environment["PATH"] = f"{self._project / 'bin'}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self._project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=kit.PATIENCE,
            check=False,
        )
        printed = done.stdout.splitlines()
        for shown, real in zip_longest(expected, printed, fillvalue=""):
            self._ids |= dict(zip(ID.findall(shown), ID.findall(real), strict=False))
        assert list(map(alike, printed)) == list(map(alike, expected)), f"$ {command}\n{done.stderr}"


def alike(line: str) -> str:
    """Give a line without what varies."""
    line = ID.sub("<id>", line)
    for pattern, name in VARIES:
        line = re.sub(pattern, name, line)
    return line.strip()


async def test_what_the_commands_print(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    (project / "trigger").mkdir(parents=True)
    (project / "trigger.config.toml").write_text('project = "shop"\n')
    text = PAGE.read_text(encoding="utf-8")
    code = re.search(r"^```python\n# (trigger/\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert code is not None
    (project / code[1]).write_text(code[2], encoding="utf-8")
    steps = re.findall(r"^\$ (.+)\n((?:(?!\$ |```).*\n)*)", text, re.MULTILINE)
    assert len(steps) > 15
    transcript = Transcript(project)
    async with kit.start(project):
        for command, output in steps:
            await asyncio.to_thread(transcript.check, command, output.splitlines())
