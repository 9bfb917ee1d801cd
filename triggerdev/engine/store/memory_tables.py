"""The tables of the store in memory: plain dicts of rows, and copies of rows that share nothing."""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from triggerdev import _json
from triggerdev.engine.model import Batch, LogEntry, Queue, Run, Schedule, Span, Token, Variable
from triggerdev.engine.store.protocol import IdempotencyRow, Lane, OpRow

Row = TypeVar("Row")
OpKey = tuple[str, int, str]  # run, attempt, operation


@dataclass
class BatchRow:
    """A batch with what the store keeps beside it: items are run ids by index, errors are (task, text)."""

    batch: Batch
    key_expires_at: int | None
    items: dict[int, str | None] = field(default_factory=dict)
    errors: dict[int, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Tables:
    """Everything that is stored. Rows are replaced, never changed, so a copy of the dicts is a snapshot.

    `fresh`: operations that were completed after their record was made. `watchers`: how often a
    batch counts a run that is not its own, by (run, batch). `lanes`: their last turns, and when these were.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    ops: dict[OpKey, OpRow] = field(default_factory=dict)
    fresh: dict[OpKey, bool] = field(default_factory=dict)
    batches: dict[str, BatchRow] = field(default_factory=dict)
    watchers: dict[tuple[str, str], int] = field(default_factory=dict)
    keys: dict[tuple[str, str], IdempotencyRow] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    lanes: dict[Lane, tuple[int, int]] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    logs: dict[int, LogEntry] = field(default_factory=dict)
    spans: dict[tuple[str, str], Span] = field(default_factory=dict)


class Unit:
    """The tables as one transaction sees them; a table is copied when it is first changed."""

    def __init__(self, committed: Tables) -> None:
        self.tables = replace(committed)
        self._mine: set[str] = set()

    def change(self, name: str) -> dict[Any, Any]:
        """Give a table that may be changed."""
        if name not in self._mine:
            self._mine.add(name)
            setattr(self.tables, name, dict(getattr(self.tables, name)))
        table: dict[Any, Any] = getattr(self.tables, name)
        return table


def frozen(row: Row) -> Row:
    """Copy a row for keeping: what is no plain value goes through JSON, as it would on a disk.

    Raises UnicodeEncodeError for half a surrogate pair, TypeError for what JSON cannot hold.
    """
    kind: Any = type(row)
    kept: Row = kind(*map(_kept, _values_of(kind)(row)))
    return kept


def thawed(row: Row) -> Row:
    """Copy a kept row for giving out, so that nobody changes what is kept."""
    kind: Any = type(row)
    given: Row = kind(*map(_copied, _values_of(kind)(row)))
    return given


@functools.cache
def _values_of(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Make what reads all fields of a kind of row, in order."""
    return operator.attrgetter(*(each.name for each in fields(kind)))


def _kept(value: Any) -> Any:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict | list | tuple):
        return _json.loads(_json.dumps(value))
    return value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return list(map(_copied, value)) if isinstance(value, list) else value
