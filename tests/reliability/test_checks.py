"""The checks see each kind of violation, and none in what is right: by ledgers made by hand."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.reliability import checks
from tests.reliability.checks import CHECKS, Facts
from tests.reliability.ledger import KILLED, KILLED_ALL, Entry
from tests.reliability.load import Accepted
from tests.reliability.mix import Order
from tests.reliability.scenario import Report
from tests.reliability.state import RunRow, TokenRow

DONE = "COMPLETED_SUCCESSFULLY"
MS = 1_000_000


def row(run: str, task: str, *, n: int = 1, value: Any = 1, **fields: Any) -> RunRow:
    """Make a completed run whose accepted end is `e-<run>`."""
    payload = {"n": n, "key": f"key-{run}", **fields.pop("payload", {})}
    made = RunRow(run, task, DONE, 1, 1, payload=payload, output={"value": value, "end": f"e-{run}"})
    return replace(made, **fields)


def line(at: int, run: str, what: str, detail: str = "", *, pid: int = 7, **fields: int) -> Entry:
    """Make a line of the ledger; `at` is in ms."""
    return Entry(at * MS, at * MS, pid, run, fields.get("attempt", 1), fields.get("token", 1), what, detail)


def killed(at: int, pid: int = 0) -> Entry:
    return line(at, "-", KILLED if pid else KILLED_ALL, pid=pid)


def end(run: str, at: int = 900, **fields: int) -> Entry:
    return line(at, run, "end", f"e-{run}", **fields)


def facts(rows: list[RunRow], entries: list[Entry], **fields: Any) -> Facts:
    """Put facts together; every run without a parent was accepted, and its client was told its output."""
    accepted = [
        Accepted(Order(each.task, f"key-{each.id}", each.payload), each.id, {"output": each.output})
        for each in rows
        if not each.parent
    ]
    ordered = sorted(entries, key=lambda entry: entry.at)
    return Facts(**{"accepted": accepted, "entries": ordered, "runs": {r.id: r for r in rows}, **fields})


def broken(found: Facts) -> dict[str, int]:
    """Count the violations by kind."""
    counts = {name: len(list(find(found))) for name, find in CHECKS.items()}
    return {name: count for name, count in counts.items() if count}


def limited(*runs: str) -> list[RunRow]:
    return [row(run, "limited-two") for run in runs]


def test_a_run_that_is_right() -> None:
    parent = row("run_a", "nested", value=4)
    child = row("run_b", "middle", value=3, parent="run_a", payload={"key": "run_a:1:0"})
    leaf = row("run_c", "leaf-sync", value=2, parent="run_b", payload={"key": "run_b:1:0"})
    lines = [line(5, "run_a", "saw", "run_b:e-run_b"), end("run_a"), end("run_b"), end("run_c")]
    assert broken(facts([parent, child, leaf], lines)) == {}


def test_an_accepted_run_that_is_not_stored_is_lost() -> None:
    accepted = [Accepted(Order("leaf", "k", {}), "run_a")]
    assert broken(facts([], [], accepted=accepted)) == {"lost": 1}


def test_a_run_that_has_not_ended_is_lost() -> None:
    stuck = row("run_a", "leaf", status="WAITING_TO_RESUME", output=None)
    assert broken(facts([stuck], [], accepted=[])) == {"lost": 1}


def test_a_failed_run() -> None:
    failed = row("run_a", "leaf", status="CRASHED", output=None)
    assert broken(facts([failed], [], accepted=[])) == {"ended otherwise than by completing": 1}


TWICE = "completed twice"


def test_completed_twice_by_one_token() -> None:
    lines = [line(5, "run_a", "end", "e-other"), end("run_a")]
    assert broken(facts([row("run_a", "waits")], lines)) == {TWICE: 1}


def test_completed_by_a_token_that_was_over() -> None:
    assert broken(facts([row("run_a", "waits", token=2)], [end("run_a", token=1)])) == {TWICE: 1}


def test_an_older_execution_that_ended_but_was_refused_is_right() -> None:
    lines = [line(5, "run_a", "end", "e-older", token=1), killed(6, 7), end("run_a", token=2, pid=8)]
    assert broken(facts([row("run_a", "waits", token=2)], lines)) == {}


def test_executed_again_after_its_end() -> None:
    lines = [end("run_a"), line(950, "run_a", "begin", token=2)]
    assert broken(facts([row("run_a", "waits")], lines)) == {TWICE: 1}


def test_an_end_that_was_announced_twice() -> None:
    printed = Counter({"run_a": 2})
    assert broken(facts([row("run_a", "waits")], [end("run_a")], printed=printed)) == {TWICE: 1}


def test_a_client_that_was_told_another_end() -> None:
    accepted = [Accepted(Order("waits", "k", {}), "run_a", {"output": {"value": 1, "end": "e-other"}})]
    assert broken(facts([row("run_a", "waits")], [end("run_a")], accepted=accepted)) == {TWICE: 1}


def test_a_parent_that_saw_another_end() -> None:
    parent = row("run_a", "nested", value=4)
    child = row("run_b", "middle", value=3, parent="run_a", payload={"key": "run_a:1:0"})
    leaf = row("run_c", "leaf-sync", value=2, parent="run_b", payload={"key": "run_b:1:0"})
    lines = [line(5, "run_a", "saw", "run_b:e-other"), end("run_a"), end("run_b"), end("run_c")]
    assert broken(facts([parent, child, leaf], lines)) == {TWICE: 1}


DONE_TWICE = "recorded operations done twice in an attempt"
NOT_DONE = "operations of the last attempt without a trace"


def triggers(*keys: str) -> Facts:
    parent = row("run_a", "triggers")
    runs = [
        row(f"run_{n}", "leaf", value=2, parent="run_a", payload={"key": key}) for n, key in enumerate(keys)
    ]
    return facts([parent, *runs], [end(each.id) for each in (parent, *runs)])


def test_a_child_that_was_triggered_twice_in_an_attempt() -> None:
    assert broken(triggers("run_a:1:0", "run_a:1:1")) == {}
    assert broken(triggers("run_a:1:0", "run_a:1:1", "run_a:1:1")) == {DONE_TWICE: 1}


def test_a_child_that_was_not_triggered() -> None:
    assert broken(triggers("run_a:1:0")) == {NOT_DONE: 1}


def test_two_runs_for_one_idempotency_key() -> None:
    rows = [row("run_a", "waits"), row("run_b", "waits", payload={"key": "key-run_a"})]
    assert broken(facts(rows, [end("run_a"), end("run_b")])) == {DONE_TWICE: 1}


def test_a_token_that_was_created_twice() -> None:
    rows = [
        row("run_a", "tokens"),
        row("run_b", "completing", parent="run_a", payload={"key": "run_a:1:0"}),
    ]
    one, two = (TokenRow(name, "COMPLETED", ["run_a:1:token"]) for name in ("waitpoint_1", "waitpoint_2"))
    lines = [end("run_a"), end("run_b")]
    assert broken(facts(rows, lines, tokens=[one])) == {}
    assert broken(facts(rows, lines, tokens=[one, two])) == {DONE_TWICE: 1}
    assert broken(facts(rows, lines, tokens=[])) == {NOT_DONE: 1}


def writes(**metadata: int) -> Facts:
    parent = row("run_a", "writes", metadata={"told": 2, **metadata}, tags=["tag-1"])
    runs = [row(f"run_{n}", "telling", parent="run_a", payload={"key": f"run_a:1:{n}"}) for n in range(2)]
    return facts([parent, *runs], [end(each.id) for each in (parent, *runs)])


def test_metadata_that_was_changed_twice_or_not_at_all() -> None:
    assert broken(writes(**{"attempt-1": 3})) == {}
    assert broken(writes(**{"attempt-1": 4})) == {DONE_TWICE: 1}
    assert broken(writes(**{"attempt-1": 2})) == {NOT_DONE: 1}
    assert broken(writes(**{"attempt-1": 3, "told": 3})) == {DONE_TWICE: 1}


def test_a_step_that_gave_two_results_in_an_attempt() -> None:
    lines = [line(1, "run_a", "step", "0:x", token=1), line(2, "run_a", "step", "0:y", token=2)]
    found = facts([row("run_a", "waits", token=2)], [*lines, end("run_a", token=2)])
    assert broken(found) == {DONE_TWICE: 1}


def test_a_step_that_was_left_out() -> None:
    rows = [
        row("run_a", "steps-sync"),
        row("run_b", "leaf", value=2, parent="run_a", payload={"key": "run_a:1:0"}),
    ]
    lines = [line(at, "run_a", "step", f"{at}:x") for at in (1, 2)] + [end("run_a"), end("run_b")]
    assert broken(facts(rows, lines)) == {}
    assert broken(facts(rows, lines[1:])) == {NOT_DONE: 1}


def test_a_hook_that_was_left_out() -> None:
    rows = [
        row("run_a", "hooked", value=2),
        row("run_b", "leaf", value=2, parent="run_a", payload={"key": "run_a:1:0"}),
    ]
    lines = [end("run_a"), end("run_b")]
    hook = line(905, "run_a", "succeeded", "e-run_a")
    assert broken(facts(rows, [*lines, hook])) == {}
    assert broken(facts(rows, lines)) == {NOT_DONE: 1}


LIMITS = "concurrency limits exceeded"


def slots(*moments: tuple[int, str, str, int], kills: tuple[Entry, ...] = ()) -> Facts:
    """Make facts of runs that enter and leave: (at, run, what, pid)."""
    entries = [line(at, run, what, pid=pid) for at, run, what, pid in moments]
    runs = sorted({run for _, run, _, _ in moments})
    return facts(limited(*runs), [*entries, *(end(run, pid=9) for run in runs), *kills])


def test_a_limit_that_was_exceeded() -> None:
    entered = [(at, f"run_{at}", "enter", at) for at in (1, 2, 3)]
    left = [(10, f"run_{at}", "leave", at) for at in (1, 2, 3)]
    assert broken(slots(*entered[:2], *left[:2])) == {}
    assert broken(slots(*entered, *left)) == {LIMITS: 1}


def test_a_slot_of_a_killed_process_is_free() -> None:
    entered = [(1, "run_a", "enter", 1), (2, "run_b", "enter", 2), (400, "run_c", "enter", 3)]
    left = [(450, "run_b", "leave", 2), (460, "run_c", "leave", 3)]
    assert broken(slots(*entered, *left, kills=(killed(300, 1),))) == {}
    assert broken(slots(*entered, *left, kills=(killed(300, 5),))) == {LIMITS: 1}  # another one was killed
    assert broken(slots(*entered, *left, kills=(killed(430, 1),))) == {LIMITS: 1}  # too late


def test_a_process_may_write_while_its_kill_is_on_the_way() -> None:
    entered = [(10, "run_a", "enter", 1), (20, "run_b", "enter", 2), (400, "run_c", "enter", 3)]
    left = [(450, "run_b", "leave", 2), (460, "run_c", "leave", 3)]
    assert broken(slots(*entered, *left, kills=(killed(9, 1),))) == {}


def test_the_slots_of_a_killed_engine_are_free() -> None:
    entered = [(at, f"run_{at}", "enter", at) for at in (1, 2)] + [(400, "run_3", "enter", 3)]
    assert broken(slots(*entered, (410, "run_3", "leave", 3), kills=(killed(300),))) == {}


def test_an_older_execution_of_a_run_holds_no_slot() -> None:
    newer = line(20, "run_a", "enter", token=2)
    left = [line(30, "run_a", "leave", token=2), line(35, "run_a", "leave", token=1)]
    others = [line(25, run, "enter", pid=8) for run in ("run_b",)]
    lines = [line(10, "run_a", "enter"), newer, *others, *left, line(40, "run_b", "leave", pid=8)]
    rows = [row("run_a", "limited-two", token=2), row("run_b", "limited-two")]
    assert broken(facts(rows, [*lines, end("run_a", token=2), end("run_b")])) == {}


def test_an_execution_that_enters_after_a_newer_one_holds_no_slot() -> None:
    newer = [line(10, "run_a", "enter", token=2), line(20, "run_a", "leave", token=2)]
    older = [line(30, "run_a", "enter"), line(40, "run_a", "leave")]
    others = [line(50, run, what, pid=8) for run in ("run_b", "run_c") for what in ("enter", "leave")]
    rows = [row("run_a", "limited-two", token=2), row("run_b", "limited-two"), row("run_c", "limited-two")]
    ends = [end("run_a", token=2), end("run_b"), end("run_c")]
    assert broken(facts(rows, [*newer, *older, *others, *ends])) == {}


def test_a_wrong_output() -> None:
    assert broken(facts([row("run_a", "leaf", value=3)], [end("run_a")])) == {"outputs wrong": 1}


USED_UP = "attempts used up without a reason"


@pytest.mark.parametrize(
    ("lines", "is_right"),
    [
        ([line(1, "run_a", "begin"), killed(2, 7)], True),
        ([line(1, "run_a", "begin"), killed(2, 8)], False),
        ([line(1, "run_a", "begin")], False),
        ([killed(2, 8)], True),  # killed before its first line
        ([], False),
        ([line(1, "run_a", "fail")], True),
    ],
)
def test_attempts_that_were_used_up(lines: list[Entry], is_right: bool) -> None:
    second = row("run_a", "waits-sync", attempt=2, token=2)
    found = facts([second], [*lines, end("run_a", attempt=2, token=2, pid=9)])
    assert broken(found) == ({} if is_right else {USED_UP: 1})
    assert checks.count_used_up(found) == (0 if lines and lines[0].what == "fail" else 1, 0)


def test_the_death_of_an_engine_uses_up_no_attempt() -> None:
    second = row("run_a", "waits-sync", attempt=2, token=2)
    lines = [line(1, "run_a", "begin"), killed(2), end("run_a", attempt=2, token=2)]
    assert broken(facts([second], lines, engine_only=True)) == {USED_UP: 1}


def test_how_soon_killed_executions_have_gone_on() -> None:
    lines = [line(1, "run_a", "begin"), killed(5, 7), line(30, "run_a", "begin", token=2, pid=8)]
    resumed = [line(1, "run_b", "wait", "0:1"), line(40, "run_b", "woken", "0:1", token=2)]
    found = facts([row("run_a", "waits", token=2), row("run_b", "waits", token=2)], [*lines, *resumed])
    assert checks.recoveries(found) == [25]


def test_a_failure_that_was_skipped() -> None:
    early = row("run_a", "retried", payload={"fails": 1})
    children = [
        row("run_b", "leaf", value=2, parent="run_a", payload={"key": "run_a:1:0"}),
        row("run_c", "leaf", value=2, parent="run_a", payload={"key": "run_a:any:1"}),
    ]
    found = facts([early, *children], [end(run) for run in ("run_a", "run_b", "run_c")])
    assert broken(found) == {USED_UP: 1}


@pytest.mark.parametrize(("woken", "is_early"), [(160, True), (251, False)])
def test_a_wait_that_ended_early(woken: int, is_early: bool) -> None:
    lines = [
        line(100, "run_a", "wait", "0:150"),
        line(140, "run_a", "wait", "0:150", token=2),  # replayed
        line(woken, "run_a", "woken", "0:150", token=2),
    ]
    found = facts([row("run_a", "waits", token=2)], [*lines, end("run_a", token=2)])
    assert broken(found) == ({"waits that ended early": 1} if is_early else {})


def test_a_violation_is_reported_with_its_story() -> None:
    report = Report()
    checks.check(facts([row("run_a", "leaf", value=3)], [end("run_a")]), report)
    assert report.figures["outputs wrong"] == 1
    count, story = report.failures
    assert count == "outputs wrong: 1, not 0"
    assert "run_a gave 3, not 2" in story
    assert "RunRow(id='run_a'" in story
    assert "end e-run_a" in story
