"""The record of an attempt, as a replay sees it: what is done already, and how far the replay has come."""

from collections.abc import Iterable
from typing import Any

from triggerdev.protocol import OpRecord

MAIN = "0"


class Node:
    """A branch of a run: an asyncio task or a phase of hooks, with its counters.

    `path` is "0" for the main branch, "0.n" for the n-th task it created, "0.on_start" for hooks.
    """

    __slots__ = ("changes", "children", "ops", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.ops = 0
        self.children = 0
        self.changes = 0

    def next_op(self) -> str:
        """Give the id of the branch's next operation."""
        number = self.ops
        self.ops = number + 1
        return f"{self.path}:{number}"

    def child(self) -> "Node":
        """Give the branch of the next asyncio task that this one creates."""
        number = self.children
        self.children = number + 1
        return Node(f"{self.path}.{number}")


class Record:
    """Recorded operations by id; counts for each branch what of it and its children is not replayed yet."""

    __slots__ = ("_changes", "_left", "_ops", "main_started")

    def __init__(self, ops: Iterable[OpRecord]) -> None:
        self._ops: dict[str, OpRecord] = {}
        self._left: dict[str, int] = {}
        self._changes: dict[str, int] = {}
        self.main_started = False
        for op in ops:
            self._add(op)

    def _add(self, op: OpRecord) -> None:
        self._ops[op["op"]] = op
        path, _, number = op["op"].partition(":")
        if number.startswith("m"):
            self._changes[path] = max(self._changes.get(path, 0), int(number[1:]))
        is_branch = path.replace(".", "").isdigit()
        self.main_started = self.main_started or is_branch
        if is_branch and number.isdigit():
            for prefix in _prefixes(path):
                self._left[prefix] = self._left.get(prefix, 0) + 1

    def take(self, op_id: str) -> OpRecord | None:
        """Give what is recorded under an id, once."""
        op = self._ops.pop(op_id, None) if self._ops else None
        if op is not None and self._left:
            for prefix in _prefixes(op_id.partition(":")[0]):
                if self._left.get(prefix):
                    self._left[prefix] -= 1
        return op

    def go_live(self, path: str) -> None:
        """Note that a branch does something that is not recorded."""
        if self._left:
            self._left.pop(path, None)

    def is_replaying(self, path: str) -> bool:
        """Say whether a branch still has recorded operations ahead."""
        return bool(self._left) and self._left.get(path, 0) > 0

    def is_stored(self, node: Node) -> bool:
        """Say whether the branch's latest metadata change was stored before the replay."""
        return bool(self._changes) and node.changes <= self._changes.get(node.path, 0)

    def stored_result(self, node: Node) -> Any:
        """Give the result recorded when the branch's changes so far were stored, None if there is none."""
        op = self._ops.get(f"{node.path}:m{node.changes}")
        return op.get("result") if op else None


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
