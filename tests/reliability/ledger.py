"""The ledger: what tasks did, written by themselves, one line in one appending write each.

A line is `monotonic-ns wall-ns pid run attempt token what detail`. A process that is killed loses no line
that it has written. Harnesses add their kills to the same file.
"""

import os
import re
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggerdev import Context
from triggerdev.sdk import session

VARIABLE = "TRIGGER_TEST_LEDGER"
KILLED, KILLED_ALL = "killed", "killed-all"
_NONE = "-"
_BLANKS = 7
_TORN = re.compile(r"(?P<at>\d+) \d+ (?P<pid>\d+) .*?(?P<digits>\d+)(?P<rest>( \S+){7})")

_files: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `at` and `wall` are in ns, the first by a clock that all processes share and nobody sets."""

    at: int
    wall: int
    pid: int
    run: str
    attempt: int
    token: int
    what: str
    detail: str = ""

    def text(self) -> str:
        """Write the line as it stands in the file."""
        return (
            f"{self.at} {self.wall} {self.pid} {self.run} {self.attempt} {self.token} {self.what}"
            f" {self.detail or _NONE}\n"
        )


# -- in tasks


def note(ctx: Context, what: str, detail: str = "") -> None:
    """Append what the surrounding run does now; neither text has blanks."""
    token = getattr(session.current(), "token", 0)
    entry = Entry(
        time.monotonic_ns(), time.time_ns(), os.getpid(), ctx.run.id, ctx.attempt.number, token, what, detail
    )
    _append(os.environ[VARIABLE], entry)


def end(ctx: Context, value: Any) -> dict[str, Any]:
    """Make a run's output, which tells by which execution it was made."""
    mark = os.urandom(8).hex()
    note(ctx, "end", mark)
    return {"value": value, "end": mark}


def place(ctx: Context, position: str) -> str:
    """Name a position in an attempt of a run: what is recorded there may exist once."""
    return f"{ctx.run.id}:{ctx.attempt.number}:{position}"


# -- in harnesses


def kill(path: Path, victim: int, others: Iterable[int] | None) -> None:
    """Kill a process and append that; `others` die with it, None is all there are.

    The line has the last time at which it was certainly alive. Raises ProcessLookupError.
    """
    now, wall = time.monotonic_ns(), time.time_ns()
    os.kill(victim, signal.SIGKILL)
    if others is None:
        _append(str(path), Entry(now, wall, victim, _NONE, 0, 0, KILLED_ALL))
        return
    for pid in (victim, *others):
        _append(str(path), Entry(now, wall, pid, _NONE, 0, 0, KILLED))


def read(path: Path) -> list[Entry]:
    """Read all lines in the order of their times.

    A kill can cut a line short where it crosses a page of memory: the next writer's line stands behind its
    beginning then, and what it was about counts as not done. Raises ValueError for other lines.
    """
    if not path.exists():
        return []
    whole, torn = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = _TORN.fullmatch(line) if line.count(" ") != _BLANKS else None
        if found:  # times of one machine have as many digits; those before may be of what was cut short
            line = found["digits"][-len(found["at"]) :] + found["rest"]
        whole.append(_entry(line))
        torn += [int(found["pid"])] if found else []
    killed = {entry.pid for entry in whole if entry.what in (KILLED, KILLED_ALL)}
    all_killed = any(entry.what == KILLED_ALL for entry in whole)
    if not all_killed and not killed.issuperset(torn):
        raise ValueError(f"lines of {sorted(set(torn) - killed)} are cut short, and nobody killed these")
    return sorted(whole, key=lambda entry: entry.at)


def _entry(line: str) -> Entry:
    at, wall, pid, run, attempt, token, what, detail = line.split(" ")
    return Entry(
        int(at), int(wall), int(pid), run, int(attempt), int(token), what, "" if detail == _NONE else detail
    )


def _append(path: str, entry: Entry) -> None:
    file = _files.get(path)
    if file is None:
        file = _files[path] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, entry.text().encode())
