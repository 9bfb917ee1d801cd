"""Projects written by a test, and a ledger that their tasks append to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.dev.conftest import copy_of
from tests.dev.kit import Dev, Line

__all__ = ["copy_of"]

PREAMBLE = """
import asyncio, os, signal, subprocess, sys, threading, time
from typing import Any
from triggerdev import AbortTaskRunError, Context, Retry, metadata, task, tasks, wait

LEDGER = os.environ.get("LEDGER", "")


def note(ctx, what):
    line = f"{ctx.run.id} {ctx.attempt.number} {os.getpid()} {what} {time.time_ns()}\\n"
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: what an attempt of a run did, in which process, and when (ns)."""

    run: str
    attempt: int
    pid: int
    what: str
    at: int


class Project:
    """A folder with a config, tasks and a ledger."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = root / "ledger.txt"
        self.env = {"LEDGER": str(self.ledger)}

    def write(self, path: str, text: str) -> None:
        """Write a file of the project in one step, as an editor does."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)

    def entries(self) -> list[Entry]:
        if not self.ledger.exists():
            return []
        lines = [line.split() for line in self.ledger.read_text(encoding="utf-8").splitlines()]
        return [Entry(run, int(attempt), int(pid), what, int(at)) for run, attempt, pid, what, at in lines]


async def happened(dev: Dev, event: str, count: int) -> list[Line]:
    """Wait until so many runs have come to an event; gives their lines."""
    found: list[Line] = []
    position = 0
    while len(found) < count:
        line = await dev.line("run", after=position)
        position = dev.lines.index(line, position) + 1
        if line["event"] == event:
            found.append(line)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """Write a project: its tasks, more files by path, and lines of its config."""

    def make(source: str, files: dict[str, str] | None = None, config: str = "") -> Project:
        made = Project(tmp_path / "project")
        made.write("trigger.config.toml", f'project = "test"\n{config}')
        made.write("trigger/tasks.py", PREAMBLE + dedent(source))
        for path, text in (files or {}).items():
            made.write(path, text)
        return made

    return make
