"""Runs that executed in a shared process when it died. One of them may have ended it, and nobody knows which.

They are divided among processes of their own, those of one that dies again once more, until the one that
kills its process is alone in it. Who ends or comes as far as to wait is acquitted.
"""

from collections.abc import Sequence


class Suspects:
    """Which suspects share a process; a group is a number, `parts` how many each death makes at most."""

    def __init__(self, parts: int) -> None:
        self._parts = max(2, parts)
        self._group_of: dict[str, int] = {}
        self._groups = 0

    def accuse(self, runs: Sequence[str]) -> None:
        """Divide the runs of a process that has died. One that was alone stays so in its next attempts."""
        size = -(-len(runs) // self._parts)
        for start in range(0, len(runs), size):
            self._groups += 1
            for run in runs[start : start + size]:
                self._group_of[run] = self._groups

    def acquit(self, run: str) -> None:
        """Forget a run; it is fine if it is none of the suspects."""
        self._group_of.pop(run, None)

    def is_alone(self, run: str) -> bool:
        """Say whether nobody else is in the group of a suspect."""
        group = self._group_of.get(run)
        return group is not None and list(self._group_of.values()).count(group) == 1

    def group_of(self, run: str) -> int | None:
        """Give the group that a run belongs to, None for a run beyond suspicion."""
        return self._group_of.get(run)
