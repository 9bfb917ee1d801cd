"""What must hold when everything that was asked for has ended, whoever died on the way."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.reliability.crashing.audit import Database, Row
from tests.reliability.crashing.client import HOUR, ITEMS, SIMPLE, SITTERS
from triggerdev.engine.model import FINAL, Status
from triggerdev.protocol import STORED

_TREE = {"child": 5, "child-sync": 1}
_CHILDREN = {
    "family": _TREE,
    "retried": {"child": 3},
    "errand": {"completing": 1},
    "patient": {"patient-child": 1},
    "sitter": {"child": 1},
}
_COUNTED = {"family": 6, "retried": 3, "sitter": 1}
_ATTEMPTS = {"retried": 3}
_ENDS = {"hopeless": Status.FAILED, "stubborn": Status.CANCELED, "patient": Status.CANCELED}
_ENDS["patient-child"] = Status.CANCELED
_LIMIT = 2
_ALL = "SELECT * FROM {table} UNION ALL SELECT * FROM gone_{table}"


class Facts:
    """The rows, the database's account of their changes, the client's notes and the tasks' ledger."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.gone = [row["id"] for row in database.query("SELECT id FROM gone_runs")]
        self.runs = {row["id"]: row for row in database.query(_ALL.format(table="runs"))}
        self.lost = [problem for row in self.runs.values() for problem in _fill(row, folder / "objects")]
        self.changes = database.query("SELECT * FROM audit_status ORDER BY n")
        self.ops = database.query("SELECT * FROM audit_ops ORDER BY n")
        self.batches = database.query(_ALL.format(table="batches"))
        self.items = database.query(_ALL.format(table="batch_items"))
        self.kept_ops = database.query("SELECT * FROM ops")
        self.answers = dict(line.split(" ") for line in _lines(folder / "notebook"))
        self.ledger = [line.split(" ") for line in _lines(folder / "ledger")]
        self.children: dict[str, Counter[str]] = defaultdict(Counter)
        for row in self.runs.values():
            if row["parent_id"]:
                self.children[row["parent_id"]][row["task"]] += 1

    @property
    def rounds(self) -> list[int]:
        return sorted(int(label.split("-")[1]) for label in self.answers if label.startswith("begun-"))

    @property
    def expired(self) -> set[str]:
        return {run for label, run in self.answers.items() if label.startswith("plain-ttl-")}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _fill(row: Row, objects: Path) -> Iterator[str]:
    """Put what is stored beside the database into a run's row; tell what is not there."""
    for part in ("payload", "output"):
        if row[f"{part}_type"] == STORED:
            key = row[part]
            row[part] = None
            if (objects / key).is_file():
                row[part] = (objects / key).read_text(encoding="utf-8").partition("\n")[2]
            else:
                yield f"the {part} of {_name(row)} is not in {key}"


def find_broken(database: Database, folder: Path) -> list[str]:
    """List what does not hold, each with the run that it is about."""
    facts = Facts(database, folder)
    checks = (_ends, _twice, _operations, _accepted, _batches, _limits, _waits, _slots)
    return [*facts.lost, *(problem for check in checks for problem in check(facts))]


def _ends(facts: Facts) -> Iterator[str]:
    for row in facts.runs.values():
        wanted = Status.EXPIRED if row["id"] in facts.expired else _ENDS.get(row["task"], Status.COMPLETED)
        if row["status"] != wanted:
            yield f"{_name(row)} is {row['status']}, not {wanted}: {row['error']}"
        elif wanted is Status.COMPLETED and _value(row["output"]) != _output(row):
            yield f"{_name(row)} gave {row['output']}"
        if row["attempt"] > _ATTEMPTS.get(row["task"], 1):
            yield f"{_name(row)} needed {row['attempt']} attempts, though nothing of it had failed"


def _output(row: Row) -> Any:
    payload = _value(row["payload"])
    if row["task"] == "family":
        return [2 * payload, 2 * payload, *(2 * (payload + n) for n in range(3))]
    if row["task"] in ("child", "child-sync"):
        return 2 * payload
    if row["task"] == "hourly":
        return payload["json"]["timestamp"].replace(".000Z", "+00:00")
    return {"completing": None, "mailbox": 7}.get(row["task"], payload)


def _twice(facts: Facts) -> Iterator[str]:
    """By the database's own account: one end for each run, and nothing behind it."""
    ends: Counter[str] = Counter()
    for change in facts.changes:
        if change["before"] in FINAL:
            yield f"run {change['run']} was {change['before']} and became {change['after']}"
        ends[change["run"]] += change["after"] in FINAL
    for row in facts.runs.values():
        if ends[row["id"]] != 1:
            yield f"{_name(row)} came to an end {ends[row['id']]} times"


def _operations(facts: Facts) -> Iterator[str]:
    """Each operation acted once in its attempt, and left nothing behind."""
    recorded = Counter((op["run"], op["attempt"], op["op"]) for op in facts.ops)
    for (run, attempt, op), count in recorded.items():
        if count > 1:
            yield f"operation {op} of run {run}, attempt {attempt}, was recorded {count} times"
    for row in facts.runs.values():
        if facts.children[row["id"]] != _CHILDREN.get(row["task"], {}):
            yield f"{_name(row)} has the children {dict(facts.children[row['id']])}"
        counted = (_value(row["metadata"]) or {}).get("children", 0)
        if counted != _COUNTED.get(row["task"], 0):
            yield f"children of {_name(row)} have counted {counted}"
    if not facts.gone:
        yield "retention has deleted nothing"
    if facts.kept_ops:
        yield f"{len(facts.kept_ops)} records of runs that have ended are left"


def _accepted(facts: Facts) -> Iterator[str]:
    """What was answered is there, and what was asked for again because of no answer is there once."""
    for number in facts.rounds:
        wanted = Counter({(name, number): 1 for name in (*SIMPLE, "stubborn")})
        found = Counter(
            (row["task"], _value(row["payload"]))
            for label, row in _answered(facts)
            if label.rpartition("-")[2] == str(number) and row["task"] in (*SIMPLE, "stubborn")
        )
        if found != wanted:
            yield f"round {number} was answered with {found - wanted or wanted - found}"
    answered = {row["id"] for _, row in _answered(facts)}
    for row in facts.runs.values():
        made_by_client = not row["parent_id"] and not row["batch_id"] and not row["schedule_id"]
        if made_by_client and row["id"] not in answered:
            yield f"{_name(row)} was made, and its caller knows of another one"
    sitters = sum(row["task"] == "sitter" for row in facts.runs.values())
    if sitters != SITTERS * len(facts.rounds):
        yield f"{sitters} runs of sitter"


def _answered(facts: Facts) -> Iterator[tuple[str, Row]]:
    for label, answer in facts.answers.items():
        if answer.startswith("run_"):
            yield label, facts.runs.get(answer) or {"id": answer, "task": "?", "payload": None}


def _batches(facts: Facts) -> Iterator[str]:
    ids = {answer for label, answer in facts.answers.items() if label.startswith("batch-")}
    for batch in facts.batches:
        if (batch["status"], batch["remaining"]) != ("COMPLETED", 0):
            yield f"batch {batch['id']} is {batch['status']}, {batch['remaining']} remain"
        items = sorted(item["item"] for item in facts.items if item["batch_id"] == batch["id"])
        runs = sum(row["batch_id"] == batch["id"] for row in facts.runs.values())
        count = ITEMS if not batch["parent_id"] else 3
        if items != list(range(count)) or runs != count:
            yield f"batch {batch['id']} has the items {items} and {runs} runs"
    of_client = {batch["id"] for batch in facts.batches if not batch["parent_id"]}
    if of_client != ids:
        yield f"the client was told of the batches {ids}, and there are {of_client}"


def _limits(facts: Facts) -> Iterator[str]:
    most = max((c["executing"] for c in facts.changes if c["queue"] == "limited"), default=0)
    if most > _LIMIT:
        yield f"{most} runs of the queue limited were executing at once"


def _waits(facts: Facts) -> Iterator[str]:
    begun: dict[tuple[str, str, str], int] = {}
    for what, run, attempt, at in facts.ledger:
        kind, _, number = what.partition("-")
        key = (run, attempt, number)
        if kind == "wait":
            begun.setdefault(key, int(at))
        elif kind == "woken" and int(at) - begun[key] < HOUR:
            yield f"wait {number} of run {run} ended after {int(at) - begun[key]} ms"


def _slots(facts: Facts) -> Iterator[str]:
    """Each full hour has one run."""
    hours = [
        _value(row["payload"])["json"]["timestamp"] for row in facts.runs.values() if row["task"] == "hourly"
    ]
    clock = int(facts.answers["clock"])
    wanted = (clock - int(facts.answers["begun-0"]) + HOUR // 2) // HOUR
    if len(set(hours)) != len(hours) or len(hours) != wanted:
        yield f"{wanted} slots were due, and these have runs: {sorted(hours)}"


def _value(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text


def _name(row: Row) -> str:
    return f"run {row['id']} of {row['task']}"
