"""The record of an attempt, as a replay sees it: what is done already, and how far the replay has come."""

import bisect
from collections.abc import Iterable
from typing import Any

from triggerdev import protocol
from triggerdev.protocol import OpRecord

MAIN = "0"
_MARKS = str.maketrans("", "", ".sx")


class Node:
    """A branch of a run: an asyncio task, a phase of hooks or the inside of a step, with its counters.

    `path` is "0" for the main branch, "0.n" for the n-th task it created, "0.on_start" for hooks, "0.sn" for
    what the step does that is its n-th operation, "0.xn" for a task that a library created.
    """

    __slots__ = ("changes", "children", "ops", "path", "spans", "strangers")

    def __init__(self, path: str) -> None:
        self.path = path
        self.ops = 0
        self.children = 0
        self.changes = 0
        self.strangers = 0
        self.spans = 0

    def next_op(self) -> str:
        """Give the id of the branch's next operation."""
        number = self.ops
        self.ops = number + 1
        return f"{self.path}:{number}"

    def next_span(self) -> str:
        """Give the place of the branch's next span."""
        number = self.spans
        self.spans = number + 1
        return f"{self.path}/{number}"

    def last_op(self) -> str:
        """Give the id of the branch's latest operation."""
        return f"{self.path}:{self.ops - 1}"

    def child(self) -> "Node":
        """Give the branch of the next asyncio task that this one creates."""
        number = self.children
        self.children = number + 1
        return Node(f"{self.path}.{number}")

    def stranger(self) -> "Node":
        """Give the branch of a task that is not counted: it may come or not, or at any time."""
        number = self.strangers
        self.strangers = number + 1
        return Node(f"{self.path}.x{number}")


def is_branch(path: str) -> bool:
    """Say whether a path is that of the function's own code; hooks have names."""
    return path.translate(_MARKS).isdigit()


def inside(op_id: str) -> Node:
    """Give the branch of what a step does, so that the counters around it do not depend on what that is."""
    path, _, number = op_id.partition(":")
    return Node(f"{path}.s{number}")


class Record:
    """Recorded operations by id; counts for each branch how many of them are not replayed yet.

    `metadata` and `tags` are those of the run before this attempt looked at or changed them, None if it has
    not; later ones come with the start message.
    """

    __slots__ = (
        *("_below", "_changes", "_entered", "_left", "_live", "_ops", "_places", "_steps"),
        *("main_started", "metadata", "tags"),
    )

    def __init__(self, ops: Iterable[OpRecord]) -> None:
        self._ops: dict[str, OpRecord] = {}
        self._left: dict[str, int] = {}  # by branch
        self._below: dict[str, int] = {}  # by branch, with those below it
        self._live: set[str] = set()
        self._steps: dict[str, set[str]] = {}  # branches inside of steps
        self._changes: dict[str, list[tuple[int, int]]] = {}
        self._places: dict[str, int] = {}
        self._entered: set[str] = set()
        self.main_started = False
        self.metadata: dict[str, Any] | None = None
        self.tags: list[str] | None = None
        for place, op in enumerate(ops):
            self._add(op, place)

    def _add(self, op: OpRecord, place: int) -> None:
        self._ops[op["op"]] = op
        self._places[op["op"]] = place
        path, _, number = op["op"].partition(":")
        self._entered.add(path)
        if number.startswith("m"):
            self._changes.setdefault(path, []).append((int(number[1:]), place))
        is_of_branch = is_branch(path)
        self.main_started = self.main_started or is_of_branch
        if is_of_branch and number.isdigit():
            self._count(path, 1)
        self._note_state(op)

    def _note_state(self, op: OpRecord) -> None:
        result: Any = op.get("result") or {}
        if op["kind"] == protocol.METADATA and self.metadata is None:
            self.metadata = result.get("base")
        elif op["kind"] == protocol.TAGS and self.tags is None:
            self.tags = result.get("before")

    def _count(self, path: str, more: int) -> None:
        """Add operations to those that a branch has ahead, or take some away."""
        self._left[path] = self._left.get(path, 0) + more
        if not self._left[path]:
            del self._left[path]
        for prefix in _prefixes(path):
            self._below[prefix] = self._below.get(prefix, 0) + more
            if more > 0 and prefix.rpartition(".")[2].startswith("s"):
                self._steps.setdefault(prefix, set()).add(path)

    def take(self, op_id: str) -> OpRecord | None:
        """Give what is recorded under an id, once."""
        op = self._ops.pop(op_id, None) if self._ops else None
        if op is not None and self._left:
            path, _, number = op_id.partition(":")
            if number.isdigit() and path in self._left:
                self._count(path, -1)
        return op

    def __len__(self) -> int:
        return len(self._places)

    @property
    def is_ahead(self) -> bool:
        """Say whether any branch still has recorded operations ahead."""
        return bool(self._left)

    def go_live(self, path: str) -> None:
        """Note that a branch does something that is not recorded."""
        if self._left:
            self._live.add(path)

    def is_replaying(self, path: str) -> bool:
        """Say whether a branch, or one below it, still has recorded operations ahead."""
        return bool(self._left) and path not in self._live and self._below.get(path, 0) > 0

    def enter_step(self, path: str, step: str) -> None:
        """Note that a step is done: again, if its branch went on after it, that is, if it had failed."""
        if path in self._left:
            self._count(step, 1)

    def is_entered(self, step: str) -> bool:
        """Say whether operations are recorded that a step did itself, not by tasks that it created."""
        return step in self._entered

    def leave_step(self, step: str) -> None:
        """Forget what is recorded inside a step that is over."""
        for path in self._steps.pop(step, ()):
            self.leave_branch(path)

    def leave_branch(self, path: str) -> None:
        """Forget what is recorded for a branch that has ended without it."""
        if path in self._left:
            self._count(path, -self._left[path])

    def left_in(self, path: str) -> list[OpRecord]:
        """List the operations of a branch that were not replayed."""
        if path not in self._left:
            return []
        left = [op for op in self._ops.values() if op["op"].rpartition(":")[0] == path]
        return [op for op in left if op["op"].rpartition(":")[2].isdigit()]

    def place(self, op_id: str) -> int | None:
        """Say as which one an operation was recorded, counted from 0; None if it was not."""
        return self._places.get(op_id)

    def place_of_change(self, node: Node) -> int | None:
        """Say where the branch's latest metadata change was recorded, None if it was not."""
        stored = self._changes.get(node.path) if self._changes else None
        if not stored:
            return None
        index = bisect.bisect_left(stored, (node.changes,))
        return stored[index][1] if index < len(stored) else None


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
