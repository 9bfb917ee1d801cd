"""The course of a run: which results its code took, and when it asked for what, in one order.

Each operation says what was heard since the one before (`protocol.Op`), so a record tells the course of the
code up to its last operation. What was heard after that had no consequence that is recorded.
"""

import itertools
from collections import deque
from collections.abc import Container, Iterable

from triggerdev.protocol import STEP, OpRecord, is_refusal
from triggerdev.worker.executor.record import MAIN, is_branch

ASKED, HEARD, GIVEN_UP = "asked", "heard", "given up"
Event = tuple[str, str, bool]  # what happened, to which operation, in the same turn as the last of its kind?
_TOGETHER, _UP = "+", "-"


def has_place(op_id: str) -> bool:
    """Say whether an operation is one of the function's own, not of hooks or flushed metadata."""
    path, _, number = op_id.partition(":")
    return (path == MAIN or is_branch(path)) and number[0] != "m"


def is_flush(op_id: str) -> bool:
    """Say whether an operation sent the changes of metadata of one of the function's own branches."""
    path, _, number = op_id.partition(":")
    return number.startswith("m") and is_branch(path)


def is_failure(op: OpRecord) -> bool:
    """Say whether an operation records how a step has failed, which the code knew at once."""
    result = op.get("result")
    return op["kind"] == STEP and isinstance(result, dict) and "error" in result and not is_refusal(result)


class Hearing:
    """What the code has heard since the engine was told last."""

    __slots__ = ("_heard", "_open", "_turn", "_up_turn")

    def __init__(self, outstanding: Iterable[str] = ()) -> None:
        self._open: dict[str, None] = dict.fromkeys(outstanding)
        self._heard: list[str] = []
        self._turn = self._up_turn = -1

    def take(self, op_id: str, is_awaited: bool) -> list[str] | None:
        """Give what was heard before an operation that is asked for; None if that goes without saying."""
        heard, self._heard = self._heard, []
        if len(heard) == len(self._open) and heard == list(self._open):
            heard_at_last = None
            self._open.clear()
        else:
            heard_at_last = heard
            for mark in heard:
                self._open.pop(mark.lstrip("+-"), None)
        if is_awaited and has_place(op_id):
            self._open[op_id] = None
        return heard_at_last

    def note(self, op_id: str, turn: int) -> None:
        """Note that a branch has taken a result, in a turn of the loop."""
        if op_id in self._open or is_flush(op_id):
            self._heard.append(f"{_TOGETHER}{op_id}" if turn == self._turn else op_id)
            self._turn = turn

    def give_up(self, op_id: str, turn: int) -> None:
        """Note that a branch does not wait for a result any more."""
        if op_id in self._open:
            self._heard.append(f"{_TOGETHER if turn == self._up_turn else ''}{_UP}{op_id}")
            self._up_turn = turn


class Course:
    """What is still ahead of a replay; and what its record leaves open."""

    __slots__ = ("_asked", "_given", "_when", "events", "outstanding")

    def __init__(self, record: Iterable[OpRecord]) -> None:
        self.events: deque[Event] = deque()
        self.outstanding: dict[str, None] = {}
        self._asked: set[str] = set()
        self._given: set[str] = set()
        self._when: dict[str, int] = {}
        ops = list(record)
        if not ops:
            return
        self._when = {op["op"]: op.get("at", 0) for op in ops}
        done = {op["op"]: op["done"] for op in ops}
        inside = {f"{path}.s{number}" for path, number in _steps(ops)}
        entered = {op["op"].partition(":")[0] for op in ops}
        for op in ops:
            for event in self._heard_before(op, done):
                self._add(event, inside)
            if not has_place(op["op"]):
                continue
            if not is_failure(op):
                self.outstanding[op["op"]] = None
                self._add((ASKED, op["op"], False), inside)
            elif _inside(op) in entered:  # it took its time, and the replay must not be ahead
                self._add((HEARD, op["op"], False), inside)

    def _heard_before(self, op: OpRecord, done: dict[str, bool]) -> list[Event]:
        marks = op.get("heard")
        if marks is None:
            marks = [name for name in self.outstanding if done[name]]
        events = []
        for mark in marks:
            name = mark.lstrip("+-")
            self.outstanding.pop(name, None)
            if mark.lstrip(_TOGETHER).startswith(_UP):
                events.append((GIVEN_UP, name, mark.startswith(_TOGETHER)))
            elif done.get(name):
                events.append((HEARD, name, mark.startswith(_TOGETHER)))
        return events

    def _add(self, event: Event, inside: set[str]) -> None:
        """Append an event, unless it is inside of a step that is recorded and so not done again."""
        if inside:
            parts = event[1].partition(":")[0].split(".")
            if any(".".join(parts[: count + 1]) in inside for count in range(len(parts))):
                return
        self.events.append(event)

    def passes(self, op_id: str) -> bool:
        """Say whether a result is the next that the only branch asked for and heard; if so, pass it."""
        events = self.events
        if events and events[0][:2] == (ASKED, op_id):
            events.popleft()
        if events and events[0][:2] != (HEARD, op_id):
            return False
        if events:
            events.popleft()
        return True

    def when(self, op_id: str) -> int:
        """Say when the result of an operation came about, 0 if it had not to be waited for."""
        return self._when[op_id]

    def ask(self, op_id: str) -> None:
        """Note that the replay has asked for an operation."""
        if self.events:
            self._asked.add(op_id)

    def next(self) -> Event | None:
        """Give the next event that has not happened in the replay yet."""
        events = self.events
        while events:
            kind, op, _ = events[0]
            if not (kind == ASKED and op in self._asked) and not (kind == HEARD and op in self._given):
                return events[0]
            events.popleft()
        return None

    def take_together(self, waiting: Container[str]) -> list[str]:
        """Give the operation that was heard next and those heard in the same turn, if they are waited for."""
        taken = [self.events[0][1]]
        for kind, op, together in itertools.islice(self.events, 1, None):
            if kind == HEARD and not together:
                break
            if kind == HEARD and op in waiting:
                taken.append(op)
        self._given.update(taken)
        return taken

    def given_up_together(self) -> list[str]:
        """Give the waits that were given up next, all in one turn; none if something else comes next."""
        found: list[str] = []
        for kind, op, together in self.events:
            if kind != GIVEN_UP or (found and not together):
                break
            found.append(op)
        return found

    def skip(self) -> None:
        """Pass over the next event, which does not happen in this replay."""
        self.events.popleft()


def _inside(op: OpRecord) -> str:
    path, _, number = op["op"].partition(":")
    return f"{path}.s{number}"


def _steps(ops: list[OpRecord]) -> Iterable[tuple[str, str]]:
    for op in ops:
        if op["kind"] == STEP:
            path, _, number = op["op"].partition(":")
            yield path, number


NOTHING = Course(())
"""The course of a run that is not replayed."""
