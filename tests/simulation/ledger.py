"""What simulated workers have seen: results of operations, outputs. What was seen once must stay so."""

from collections import Counter
from typing import Any

from tests.simulation import programs
from tests.simulation.promises import BrokenPromiseError
from tests.simulation.watched import WatchedStore
from tests.simulation.worker import Execution
from triggerdev.engine.model import Run, Status
from triggerdev.engine.store.memory_tables import Tables
from triggerdev.engine.store.protocol import OpRow
from triggerdev.protocol import is_refusal

_Key = tuple[str, int, str]


class Ledger:
    """Results by run, attempt and operation; outputs by run and token; metadata changes by run."""

    def __init__(self, store: WatchedStore) -> None:
        self._store = store
        self._results: dict[_Key, Any] = {}
        self._begun: set[tuple[str, int]] = set()
        self._outputs: dict[tuple[str, int], str] = {}
        self.changes: Counter[str] = Counter()
        self.retries: dict[str, int | None] = {}
        self.accepted: set[str] = set()
        self.deleted: set[str] = set()

    @property
    def tables(self) -> Tables:
        """What is committed."""
        return self._store.tables

    def started(self, info: Any) -> None:
        """Check the start of an attempt: a new one has no record, one that goes on has what was seen."""
        attempt = (info["id"], info["attempt"])
        if not info.get("resumed"):
            _that(not info["record"], f"attempt {attempt} begins with a record")
            _that(attempt not in self._begun, f"attempt {attempt} begins a second time, without its record")
        self._begun.add(attempt)
        for op in info["record"]:
            key = (*attempt, op["op"])
            if op["done"] and key in self._results and not is_refusal(op["result"]):
                _that(self._results[key] == op["result"], f"the record of {key} has changed: {op}")
        recorded = {op["op"] for op in info["record"]}
        lost = [key for key in self._results if key[:2] == attempt and key[2] not in recorded]
        _that(not lost, f"{lost} were answered, and are not in the record")

    def observed(self, execution: Execution, op: str, result: Any) -> None:
        """Note a result that a program was given."""
        key = (execution.id, execution.attempt, op)
        if key not in self._results:
            self._results[key] = result
            row = self.tables.ops.get(key)
            if row is not None and not is_refusal(row.result):
                self._check_result(row, result)
        _that(self._results[key] == result, f"{key} gave {self._results[key]}, and now {result}")

    def ended(self, execution: Execution, outcome: dict[str, Any]) -> None:
        """Note what an execution says at its end."""
        if outcome["outcome"] == "ok":
            self._outputs[execution.id, execution.token] = outcome["output"]

    def _check_result(self, op: OpRow, result: Any) -> None:
        if op.kind == "trigger_and_wait":
            self._check_child(result)
        elif op.kind == "batch_trigger_and_wait":
            items = self.tables.batches[result["id"]].items
            ids = [items[index] or "" for index in sorted(items)]
            _that([child["id"] for child in result["runs"]] == ids, f"{op} gave the results of others")
            for child in filter(lambda child: child["id"], result["runs"]):
                self._check_child(child)
        elif op.kind == "wait_token":
            token = self.tables.tokens.get(op.ref or "")
            if token is not None:
                is_right = {"COMPLETED": result["ok"], "TIMED_OUT": not result["ok"]}.get(token.status, False)
                _that(is_right and result.get("output") == token.output, f"{token} gave {result}")

    def _check_child(self, result: dict[str, Any]) -> None:
        child = self.tables.runs.get(result["id"])
        if child is None:
            return
        _that(child.status.is_final, f"{child.id} is {child.status}, and its parent has {result}")
        ok = child.status is Status.COMPLETED
        _that(result["ok"] == ok, f"{child.id} is {child.status}, and its parent has {result}")
        what = ("output", child.output) if ok else ("error", child.error)
        _that(result[what[0]] == what[1], f"the parent of {child.id} has {result}, not {what}")

    def check_end(self) -> None:
        """Check that nothing is left open, and that outputs are those of the programs."""
        tables = self.tables
        open_runs = [
            f"{run.id} ({run.task}): {run.status}" for run in tables.runs.values() if not run.status.is_final
        ]
        _that(not open_runs, f"never ended: {open_runs}")
        _that(not tables.ops, f"operations of runs that have ended are left: {list(tables.ops)}")
        open_batches = [row.batch.id for row in tables.batches.values() if row.batch.completed_at is None]
        _that(not open_batches, f"batches never ended: {open_batches}")
        missing = self.accepted - tables.runs.keys() - self.deleted
        _that(not missing, f"accepted, and not there: {missing}")
        for run in tables.runs.values():
            self._check_outcome(run)

    def _check_outcome(self, run: Run) -> None:
        count = (run.metadata or {}).get("n", 0)
        _that(
            count == self.changes[run.id], f"{run.id} was changed {self.changes[run.id]} times, not {count}"
        )
        if run.status is Status.COMPLETED:
            said = self._outputs.get((run.id, run.token))
            _that(said == run.output, f"{run.id} has the output {run.output}, its worker said {said}")
            wanted = self._evaluate(run)
            _that(wanted == run.output, f"{run.id} has the output {run.output}, its program gives {wanted}")

    def _evaluate(self, run: Run) -> str:
        nodes = programs.nodes_for(run.payload)

        def look_up(op: str) -> Any:
            key = (run.id, run.attempt, op)
            _that(key in self._results, f"{run.id} has ended without its operation {op}")
            return self._results[key]

        return programs.output_of(programs.evaluate(programs.start(nodes, run.attempt), "0", look_up))


def _that(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenPromiseError(otherwise)
