"""The engine's commands on one store, without threads: their answers, their effects, what is stored."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from triggerdev import errors
from triggerdev.engine.clock import IdSource
from triggerdev.engine.commands import finish
from triggerdev.engine.context import Context, Effects
from triggerdev.engine.model import LogEntry, Run, RunFilter, TokenFilter
from triggerdev.engine.store.protocol import Store, Tx
from triggerdev.engine.tasks import TaskTable

Row = TypeVar("Row", Run, LogEntry)
Command = Callable[[Context], Any]
START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_ALL = 10_000
_FOREVER = 2**60


@dataclass
class Names:
    """What a machine has made so far and the state is asked for by name."""

    batches: list[str]
    keys: list[tuple[str, str]]
    token_names: list[str]


class Core:
    """One store under the engine's commands. Ids, chance and time are the same for all cores of a seed."""

    def __init__(self, store: Store, seed: int) -> None:
        rng = random.Random(seed)
        self.store = store
        self.now = START
        self.tasks = TaskTable()
        self._rng = rng
        self._ids = IdSource(rng)
        store.open()

    def restart(self) -> None:
        """Close the store and open it again."""
        self.store.close()
        self.store.open()

    def do(self, command: Command) -> tuple[str, Any]:
        """Carry out a command in a transaction; gives ("ok", answer and effects) or ("refused", why)."""
        try:
            with self.store.write() as tx:
                ctx = self._context(tx)
                answer = command(ctx)
                finish.settle(ctx)
                ctx.flush()
        except errors.EngineError as error:
            return "refused", f"{type(error).__name__}: {error}"
        self.tasks = ctx.tasks
        return "ok", (_plain(answer), described(ctx.effects))

    def ask(self, question: Command) -> tuple[str, Any]:
        """Answer a question from a snapshot."""
        try:
            with self.store.read() as tx:
                return "ok", _plain(question(self._context(tx)))
        except errors.EngineError as error:
            return "refused", f"{type(error).__name__}: {error}"

    def _context(self, tx: Tx) -> Context:
        return Context(tx, self.now, self._ids, self._rng, self.tasks)

    def state(self, names: Names, among: set[str] | None = None) -> dict[str, Any]:
        """Read everything that can be seen through the protocol; some of it only writers may ask for.

        With `among`, operations, log lines and spans only of these runs.
        """
        with self.store.write() as tx:
            runs = tx.list_runs(RunFilter(), _ALL, None, None)
            asked = [run for run in runs if among is None or run.id in among]
            return {
                "runs": [_unnumbered(run) for run in runs],
                "ops": {
                    run.id: [op for n in range(run.attempt + 1) for op in tx.get_ops(run.id, n)]
                    for run in asked
                },
                "batches": {
                    name: (batch, tx.batch_items(name), tx.batch_errors(name))
                    for name, batch in sorted(tx.get_batches(names.batches).items())
                },
                "tokens": tx.list_tokens(TokenFilter(), _ALL, None, None),
                "token names": [tx.token_by_key(name, self.now) for name in names.token_names],
                "keys": tx.get_keys(names.keys),
                "schedules": tx.schedules(),
                "queues": [tx.get_queue(name) for name in tx.queue_names()],
                "workers": sorted(tx.expired_workers(_FOREVER)),
                "logs": [_unnumbered(entry) for run in asked for entry in tx.read_logs(run.id, 0, _ALL)],
                "due": [tx.next_due(scheduled=tasks) for tasks in (["job", "child"], [])],
                "spans": tx.read_spans([run.id for run in asked], _ALL),
                "open spans": [tx.open_spans(run.id, run.attempt) for run in asked],
            }


def _unnumbered(row: Row) -> Row:
    """Leave a row's number out: a store may leave gaps after a transaction that was rolled back."""
    row.seq = 0
    return row


def _plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_plain(item) for item in answer]
    if isinstance(answer, Run):
        return _unnumbered(answer)
    return answer


def described(effects: Effects) -> dict[str, Any]:
    """Describe effects. What concerns different runs may come in any order, what concerns one may not."""
    return {
        "messages": _by(effects.messages, lambda pair: (pair[0], _run_of(pair[1]))),
        "events": _by(effects.events, lambda event: event.run),
        "changed": sorted(effects.changed),
        "logged": effects.logged,
        "due_at": effects.due_at,
        "pump": effects.pump,
    }


def _by(items: list[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _run_of(message: dict[str, Any]) -> str:
    run = message.get("run")
    return str(run["id"] if isinstance(run, dict) else run)
