"""What was promised, counted from the ledger, the clients' answers and the rows.

Nothing here trusts a counter of the engine.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.reliability.ledger import KILLED, KILLED_ALL, Entry
from tests.reliability.load import Accepted
from tests.reliability.mix import KINDS, LIMITS, MAX_ATTEMPTS, Kind
from tests.reliability.scenario import Report
from tests.reliability.state import FINAL, RunRow, TokenRow

_COMPLETED = "COMPLETED_SUCCESSFULLY"
_TOLERANCE_NS = 2_000_000  # times are stored in whole milliseconds
_DYING_NS = {KILLED: 5_000_000_000, KILLED_ALL: 200_000_000}  # for so long a killed process may still write
_NEVER = 2**63
_RESTING = ("wait", "fail", "end", "succeeded", "after")  # after these an execution may have been over
_STORIES = 3


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and for which run."""

    run: str
    text: str


@dataclass(slots=True)
class Facts:
    """Everything that the checks look at.

    `printed`: how often the end of each run was announced. `engine_only`: only engines were killed, which
    costs no attempt.
    """

    accepted: list[Accepted]
    entries: list[Entry]
    runs: dict[str, RunRow]
    tokens: list[TokenRow] = field(default_factory=list)
    printed: Counter[str] = field(default_factory=Counter)
    engine_only: bool = False
    by_run: dict[str, list[Entry]] = field(init=False)
    kills: list[Entry] = field(init=False)
    children: dict[str, list[RunRow]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_run, self.children = defaultdict(list), defaultdict(list)
        for entry in self.entries:
            self.by_run[entry.run].append(entry)
        for row in self.runs.values():
            if row.parent:
                self.children[row.parent].append(row)
        self.kills = [entry for entry in self.entries if entry.what in (KILLED, KILLED_ALL)]

    def completed(self) -> Iterator[tuple[RunRow, Kind]]:
        """Go through the runs that have ended well."""
        for row in self.runs.values():
            if row.status == _COMPLETED:
                yield row, KINDS[row.task]


def find_lost(facts: Facts) -> Iterator[Violation]:
    """Find accepted runs that are not stored, and stored ones that have not ended."""
    for each in facts.accepted:
        if each.run not in facts.runs:
            yield Violation(each.run, f"accepted for key {each.order.key}, and nothing is stored")
    for row in facts.runs.values():
        if row.status not in FINAL:
            yield Violation(row.id, f"is {row.status} when all is over")


def find_failed(facts: Facts) -> Iterator[Violation]:
    """Find runs that have ended in another way than they should."""
    for row in facts.runs.values():
        if row.status in FINAL and row.status != _COMPLETED:
            yield Violation(row.id, f"ended as {row.status}: {row.error}")


def find_completed_twice(facts: Facts) -> Iterator[Violation]:
    """Find runs with more than one accepted end: by token, by what was announced, by what others saw."""
    for row, _ in facts.completed():
        lines = facts.by_run[row.id]
        accepted = [entry for entry in lines if entry.what == "end" and entry.token == row.token]
        if [entry.detail for entry in accepted] != [row.mark]:
            marks = ", ".join(entry.detail for entry in accepted) or "none"
            yield Violation(
                row.id, f"stored the output of {row.mark}; under its last token {row.token}: {marks}"
            )
        if later := [entry for entry in lines if entry.token > row.token]:
            yield Violation(row.id, f"executed under token {later[0].token}, ended by {row.token}")
    for run, count in facts.printed.items():
        if count > 1:
            yield Violation(run, f"its end was announced {count} times")
    yield from _find_seen_otherwise(facts)


def _find_seen_otherwise(facts: Facts) -> Iterator[Violation]:
    for each in facts.accepted:
        row = facts.runs.get(each.run)
        if row is not None and each.seen is not None and each.seen.get("output") != row.output:
            yield Violation(row.id, f"its client was told {each.seen.get('output')}, stored is {row.output}")
    for entry in facts.entries:
        if entry.what == "saw":
            child, mark = entry.detail.split(":")
            row = facts.runs.get(child)
            if row is None or row.mark != mark:
                found = row.mark if row else "nothing"
                yield Violation(child, f"its parent {entry.run} has seen end {mark}, stored is {found}")


def find_done_twice(facts: Facts) -> Iterator[Violation]:
    """Find recorded operations that acted twice in an attempt: children, batches, tokens, metadata, steps."""
    places: dict[str, list[str]] = defaultdict(list)
    for row in facts.runs.values():
        places[f"run {row.payload.get('key')}"].append(row.id)
    for token in facts.tokens:
        for tag in token.tags:
            places[f"token {tag}"].append(token.id)
    for place, made in places.items():
        if len(made) > 1:
            yield Violation(_run_of(place, made[0]), f"{place} was made {len(made)} times: {', '.join(made)}")
    for row, kind in facts.completed():
        for attempt in range(1, row.attempt + 1):
            count = row.metadata.get(f"attempt-{attempt}", 0)
            if count > kind.counted:
                yield Violation(row.id, f"counted {count} in attempt {attempt}, not {kind.counted}")
    yield from _find_told_twice(facts)
    yield from _find_steps_done_twice(facts)


def _run_of(place: str, otherwise: str) -> str:
    run = place.split(" ")[1].split(":")[0]
    return run if run.startswith("run_") else otherwise


def _find_told_twice(facts: Facts) -> Iterator[Violation]:
    for row in facts.runs.values():
        most = sum(child.attempt for child in facts.children[row.id] if child.task == "telling")
        if row.metadata.get("told", 0) > most:
            yield Violation(row.id, f"its children told {row.metadata['told']} times in {most} attempts")


def _find_steps_done_twice(facts: Facts) -> Iterator[Violation]:
    """Find steps that gave two results in one attempt; lines are `step` with name:result."""
    results: dict[tuple[str, int, str], str] = {}
    for entry in facts.entries:
        if entry.what == "step":
            name, result = entry.detail.split(":")
            known = results.setdefault((entry.run, entry.attempt, name), result)
            if known != result:
                yield Violation(entry.run, f"step {name} gave {known}, then {result}, in one attempt")


def find_not_done(facts: Facts) -> Iterator[Violation]:
    """Find what the last attempt of a completed run did, by its code, and what has left no trace."""
    keys = {row.payload.get("key") for row in facts.runs.values()}
    tags = {tag for token in facts.tokens for tag in token.tags}
    for row, kind in facts.completed():
        last, first = f"{row.id}:{row.attempt}", len(kind.children)
        wanted = [f"{last}:{position}" for position in range(first)]
        wanted += [f"{row.id}:any:{position}" for position in range(first, first + len(kind.shared))]
        if missing := [place for place in wanted if place not in keys]:
            yield Violation(row.id, f"completed without the children {', '.join(missing)}")
        if kind.tokens and f"{last}:token" not in tags:
            yield Violation(row.id, "completed without its token")
        if row.metadata.get(f"attempt-{row.attempt}", 0) < kind.counted:
            yield Violation(row.id, f"metadata {row.metadata} has not all {kind.counted} changes")
        if kind.counted and f"tag-{row.payload['n']}" not in row.tags:
            yield Violation(row.id, f"tags {row.tags} have not what it added")
        yield from _find_not_written(facts, row, kind)


def _find_not_written(facts: Facts, row: RunRow, kind: Kind) -> Iterator[Violation]:
    """Find what a completed run should have written to the ledger."""
    lines = [entry for entry in facts.by_run[row.id] if entry.attempt == row.attempt]
    steps = {entry.detail for entry in lines if entry.what == "step"}
    if len(steps) < kind.steps:
        yield Violation(row.id, f"completed with only the steps {', '.join(steps) or 'none'}")
    accepted = {entry.detail for entry in lines if (entry.what, entry.token) == ("succeeded", row.token)}
    if kind.has_hooks and row.mark not in accepted:
        yield Violation(row.id, "completed without its on_success hook")


def find_wrong_outputs(facts: Facts) -> Iterator[Violation]:
    """Find runs whose output is not what their payload says."""
    for row, kind in facts.completed():
        right = kind.value(row.payload["n"])
        value = row.output.get("value") if isinstance(row.output, dict) else row.output
        if value != right:
            yield Violation(row.id, f"gave {value}, not {right}")


def find_wrong_attempts(facts: Facts) -> Iterator[Violation]:
    """Find attempts that ended without failing and without being killed, and failures that were skipped."""
    killed = {entry.pid for entry in facts.kills if entry.what == KILLED}
    for row, kind in facts.completed():
        if (kind.fails and row.attempt <= row.payload["fails"]) or row.attempt > MAX_ATTEMPTS:
            yield Violation(row.id, f"completed in attempt {row.attempt}")
        for attempt, lines in _used_up(facts, row):
            pids = {entry.pid for entry in lines}
            if facts.engine_only or (pids and not pids & killed) or not killed:
                yield Violation(row.id, f"attempt {attempt} was used up; nothing had failed or killed it")


def count_used_up(facts: Facts) -> tuple[int, int]:
    """Count the attempts that kills have used up: of plain functions, and of async ones."""
    plain = other = 0
    for row, kind in facts.completed():
        count = sum(1 for _ in _used_up(facts, row))
        plain, other = (plain + count, other) if kind.is_plain else (plain, other + count)
    return plain, other


def recoveries(facts: Facts) -> list[float]:
    """Measure, in ms, how soon executions that were killed have gone on; those of limited queues left out."""
    took: list[float] = []
    for row, kind in facts.completed():
        if kind.queue is not None:
            continue
        for last, following in pairwise(facts.by_run[row.id]):
            if following.token > last.token and last.what not in _RESTING:
                ends = [
                    kill.at
                    for kill in facts.kills
                    if _hits(kill, last) and last.at <= kill.at <= following.at
                ]
                took += [(following.at - at) / 1e6 for at in ends[-1:]]
    return sorted(took)


def _hits(kill: Entry, entry: Entry) -> bool:
    return kill.what == KILLED_ALL or kill.pid == entry.pid


def _used_up(facts: Facts, row: RunRow) -> Iterator[tuple[int, list[Entry]]]:
    """Go through the attempts before the last that did not fail by themselves."""
    for attempt in range(1, row.attempt):
        lines = [entry for entry in facts.by_run[row.id] if entry.attempt == attempt]
        if not any(entry.what == "fail" for entry in lines):
            yield attempt, lines


def find_early_waits(facts: Facts) -> Iterator[Violation]:
    """Find waits that ended before their time, counted from the first time that the attempt came to them."""
    begun: dict[tuple[str, int, str], int] = {}
    for entry in facts.entries:
        name = (entry.run, entry.attempt, entry.detail)
        if entry.what == "wait":
            begun.setdefault(name, entry.at)
        elif entry.what == "woken":
            wanted = int(entry.detail.split(":")[1]) * 1_000_000
            took = entry.at - begun.get(name, entry.at)
            if took < wanted - _TOLERANCE_NS:
                yield Violation(
                    entry.run, f"wait {entry.detail} ended after {took / 1e6:.1f} of {wanted / 1e6:.0f} ms"
                )


def find_exceeded(facts: Facts) -> Iterator[Violation]:
    """Find moments at which more runs than its limit executed in a queue."""
    for queue, limit in LIMITS.items():
        inside: set[int] = set()
        moments: list[tuple[int, bool, int]] = []
        slots = [slot for slot in _slots(facts, queue) if slot[1] < slot[2]]
        for number, (_, begin, finish) in enumerate(slots):
            moments += [(begin, True, number), (finish, False, number)]
        for at, enters, number in sorted(moments):
            inside = inside | {number} if enters else inside - {number}
            if enters and len(inside) > limit:
                runs = ", ".join(sorted(slots[each][0] for each in inside))
                yield Violation(slots[number][0], f"queue {queue} (limit {limit}) had {runs} at {at}")


def _slots(facts: Facts, queue: str) -> Iterator[tuple[str, int, int]]:
    """Go through the times for which runs held a slot.

    A kill ends those in its process; so does a newer execution of the same run, whatever the older one still
    does. One that entered after a newer one ends before it begins.
    """
    for row in facts.runs.values():
        if KINDS[row.task].queue != queue:
            continue
        open_: dict[int, Entry] = {}
        for entry in facts.by_run[row.id]:
            if entry.what == "enter":
                if entry.token in open_:
                    yield row.id, open_[entry.token].at, _end_of(facts, open_[entry.token])
                open_[entry.token] = entry
            elif entry.what == "leave" and entry.token in open_:
                begin = open_.pop(entry.token)
                yield row.id, begin.at, min(entry.at, _end_of(facts, begin))
        for entry in open_.values():
            yield row.id, entry.at, _end_of(facts, entry)


def _end_of(facts: Facts, entry: Entry) -> int:
    """Find the kill that ended an execution; a process may still write while its kill is on the way."""
    ends = [later.at for later in facts.by_run[entry.run] if later.token > entry.token]
    ends += (
        max(kill.at, entry.at + 1)
        for kill in facts.kills
        if kill.at >= entry.at - _DYING_NS[kill.what] and _hits(kill, entry)
    )
    return min(ends, default=_NEVER)


CHECKS: dict[str, Callable[[Facts], Iterable[Violation]]] = {
    "lost": find_lost,
    "ended otherwise than by completing": find_failed,
    "completed twice": find_completed_twice,
    "recorded operations done twice in an attempt": find_done_twice,
    "operations of the last attempt without a trace": find_not_done,
    "concurrency limits exceeded": find_exceeded,
    "outputs wrong": find_wrong_outputs,
    "attempts used up without a reason": find_wrong_attempts,
    "waits that ended early": find_early_waits,
}


def check(facts: Facts, report: Report) -> None:
    """Count the violations of each kind in a report, with the stories of the first."""
    for name, find in CHECKS.items():
        found = list(find(facts))
        report.must_be(name, len(found), 0)
        for each in found[:_STORIES]:
            report.failures.append(f"{name}: {each.run} {each.text}\n{story(facts, each.run)}")


def story(facts: Facts, run: str) -> str:
    """Tell what is known of a run: its row, its children, its lines in the ledger."""
    lines: list[Any] = [facts.runs.get(run, "no row"), *facts.children.get(run, ())]
    lines += [entry.text().rstrip() for entry in facts.by_run.get(run, ())]
    return "\n".join(f"      {line}" for line in lines)
