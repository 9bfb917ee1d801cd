"""The store in memory and others, side by side: whatever is done to all, answers and states must be equal."""

import copy
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from tests.model.commands import COMMANDS, QUESTIONS
from tests.model.core import Core, Names
from tests.simulation.watched import WatchedStore
from tests.store.backends import make_backend
from triggerdev.engine.model import Run, Status
from triggerdev.engine.store.memory_tables import Tables

MEMORY = Path("/dev/shm")  # a disk in memory, where there is one: thousands of commits, none to be kept
TASKS = ["job", "child", "narrow", "plain"]
TOKENS = ["approval", "payment"]
KEYS = ["k1", "k2"]
# Commands. In between, operations and log lines are compared of those runs that the model has changed.
_ALL_AFTER = 10


class Comparison:
    """The cores, what was done to them, and how often each kind of command has succeeded."""

    def __init__(self, seed: int, stores: Sequence[str], succeeded: Counter[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.backends = {name: make_backend(name, self.folder) for name in stores}
        self._done = 0
        self._rows = WatchedStore()
        self.model = Core(self._rows, seed)
        self.others = {name: Core(backend.make(), seed) for name, backend in self.backends.items()}
        keys = [("", f"wait {key}") for key in KEYS] + [(each, key) for each in TASKS for key in KEYS]
        self.names = Names([], keys, TOKENS)
        self.succeeded = succeeded
        self._batches: set[str] = set()

    @property
    def cores(self) -> list[Core]:
        return [self.model, *self.others.values()]

    def close(self) -> None:
        """Compare all once more and give everything back."""
        try:
            self._compare_states("all")
        finally:
            self._give_back()

    def _give_back(self) -> None:
        for core in self.cores:
            core.store.close()
        for backend in self.backends.values():
            backend.close()
        shutil.rmtree(self.folder)

    def do(self, name: str, label: str = "", /, **args: Any) -> Any:
        """Do the same on all; gives the model's answer, None if it was refused."""
        before = self._rows.tables
        here = self.model.do(lambda ctx: COMMANDS[name](ctx, **copy.deepcopy(args)))
        for store, core in self.others.items():
            there = core.do(lambda ctx: COMMANDS[name](ctx, **copy.deepcopy(args)))
            assert_equal(here, there, f"the answers to {name}({args}) of memory and {store}")
        self._done += 1
        everything = self._done % _ALL_AFTER == 0
        among = None if everything else _changed(before, self._rows.tables)
        self._compare_states(f"{name}({args})", among)
        if here[0] == "refused":
            return None
        self.succeeded[label or name] += 1
        return here[1]

    def ask(self, name: str, /, **args: Any) -> None:
        """Ask all the same."""
        here = self.model.ask(lambda ctx: QUESTIONS[name](ctx, **args))
        for store, core in self.others.items():
            there = core.ask(lambda ctx: QUESTIONS[name](ctx, **args))
            assert_equal(here, there, f"the answers to {name}({args}) of memory and {store}")
        self.succeeded[name] += here[0] == "ok"

    def _compare_states(self, after: str, among: set[str] | None = None) -> None:
        here = self.model.state(self.names, among)
        for store, core in self.others.items():
            there = core.state(self.names, among)
            assert_equal(here, there, f"the states of memory and {store} after {after}")

    def pass_time(self, ms: int) -> None:
        for core in self.cores:
            core.now += ms

    def restart(self) -> None:
        for core in self.cores:
            core.restart()

    def runs(self, *statuses: Status) -> list[Run]:
        """Give the model's runs that have one of the statuses, oldest first; they are not to be changed."""
        return [run for run in self._rows.tables.runs.values() if not statuses or run.status in statuses]


def _changed(before: Tables, after: Tables) -> set[str]:
    """Name the runs of which a command has changed a row, an operation or the log."""
    return {
        *(key for key, run in after.runs.items() if before.runs.get(key) is not run),
        *(key[0] for key, op in after.ops.items() if before.ops.get(key) is not op),
        *(key[0] for key in before.ops.keys() - after.ops.keys()),
        *(entry.run for key, entry in after.logs.items() if key not in before.logs),
        *(key[0] for key, span in after.spans.items() if before.spans.get(key) is not span),
    }


def assert_equal(here: Any, there: Any, what: str) -> None:
    """Fail with the first place that differs."""
    if here != there:
        raise AssertionError(f"{what} differ at {difference(here, there)}")


def difference(here: Any, there: Any, path: str = "") -> str:
    """Name the first place where two values differ, with both sides."""
    if is_dataclass(here) and is_dataclass(there):
        return difference(vars_of(here), vars_of(there), path)
    if isinstance(here, dict) and isinstance(there, dict):
        for key in {**here, **there}:
            if here.get(key) != there.get(key):
                return difference(here.get(key), there.get(key), f"{path}.{key}")
    if isinstance(here, list | tuple) and isinstance(there, list | tuple) and len(here) == len(there):
        for index, (one, other) in enumerate(zip(here, there, strict=True)):
            if one != other:
                return difference(one, other, f"{path}[{index}]")
    return f"{path or 'the top'}: {here!r:.400} and {there!r:.400}"


def vars_of(row: Any) -> dict[str, Any]:
    return {each.name: getattr(row, each.name) for each in fields(row)}
