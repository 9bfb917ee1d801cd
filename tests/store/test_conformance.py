"""What every store promises of its transactions, method by method. (The engine's tests run on each, too.)"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.store.backends import Backend, make_backend
from triggerdev.engine.model import (
    Batch,
    BatchError,
    Load,
    LogEntry,
    Queue,
    Run,
    RunFilter,
    Schedule,
    Span,
    Status,
    Token,
    TokenFilter,
    Variable,
)
from triggerdev.engine.store.protocol import Capacity, IdempotencyRow, OpRow, Store

ODD = 'ü🚀 \x00 \ue000 "quotes" \\ \n'


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return make_backend(request.param, tmp_path)


@pytest.fixture
def store(backend: Backend) -> Iterator[Store]:
    store = backend.make()
    store.open()
    yield store
    store.close()
    backend.close()


def a_run(name: str, **fields: Any) -> Run:
    given = {
        "status": Status.PENDING,
        "queue": "q",
        "created_at": 1,
        "updated_at": 1,
        "ready": True,
        **fields,
    }
    return Run(0, f"run_{name}", given.pop("task", "job"), **given)


def put(store: Store, *runs: Run) -> list[Run]:
    """Store runs and read them back, in order."""
    with store.write() as tx:
        tx.insert_runs(runs)
    with store.read() as tx:
        found = tx.get_runs([run.id for run in runs])
    return [found[run.id] for run in runs]


def an_op(run: str, op: str, n: int, **fields: Any) -> OpRow:
    return OpRow(f"run_{run}", 1, op, n, "wait", **{"target": None, "done": False, **fields})


def claimable(store: Store, *capacities: Capacity) -> list[str]:
    with store.write() as tx:
        return [run.id.removeprefix("run_") for run in tx.ready_runs(capacities, None).runs]


def test_a_run_comes_back_as_it_was_stored(store: Store) -> None:
    full = a_run(
        "full",
        output=ODD,
        payload=ODD,
        error={"type": "STRING_ERROR", "raw": ODD},
        metadata={ODD: [1, 2.5, None]},
        tags=["a", ODD],
        concurrency_key="k",
        priority=1.5,
        due_at=2**53,
        worker="w",
        resuming=True,
        is_test=True,
    )
    plain = a_run("plain")
    stored = put(store, full, plain)
    assert stored == [replace(full, seq=stored[0].seq), replace(plain, seq=stored[1].seq)]
    assert 0 < stored[0].seq < stored[1].seq


def test_changes_are_kept_and_those_of_a_failed_transaction_are_not(store: Store) -> None:
    (run,) = put(store, a_run("1"))
    with pytest.raises(ZeroDivisionError), store.write() as tx:
        tx.update_runs([replace(run, status=Status.COMPLETED)])
        raise ZeroDivisionError
    with store.read() as tx:
        assert tx.get_runs([run.id]) == {run.id: run}
    changed = replace(run, status=Status.EXECUTING, worker="w", output=ODD, metadata={"a": 1}, rev=7)
    with store.write() as tx:
        tx.update_runs([changed])
        assert tx.get_runs([run.id, "run_none"]) == {run.id: changed}
    with store.read() as tx:
        assert tx.get_runs([run.id]) == {run.id: changed}
        assert tx.get_runs([]) == {}


def test_data_outlives_the_store_object(backend: Backend, store: Store) -> None:
    (run,) = put(store, a_run("1"))
    store.close()
    again = backend.make()
    again.open()
    with again.read() as tx:
        assert tx.get_runs([run.id]) == {run.id: run}
    again.close()


def test_runs_are_claimed_by_score_over_all_queues(store: Store) -> None:
    put(
        store,
        a_run("late", score=9),
        a_run("first", score=1, queue="other"),
        a_run("second", score=2, concurrency_key="k"),
        a_run("not_ready", score=0, ready=False),
        a_run("else", score=0, task="else"),
    )
    assert claimable(store, Capacity(["job"], 2)) == ["first", "second"]
    assert claimable(store, Capacity(["job"], 9)) == ["first", "second", "late"]
    assert claimable(store, Capacity(["job"], 1), Capacity(["else"], 5)) == ["first", "else"]
    assert claimable(store, Capacity(["job"], 0), Capacity([], 5)) == []


def test_a_limit_counts_executing_runs_of_the_same_queue_and_key(store: Store) -> None:
    busy = {"status": Status.EXECUTING, "ready": False, "worker": "w"}
    put(
        store,
        a_run("busy", **busy),
        a_run("busy_k", concurrency_key="k", **busy),
        *(a_run(f"free{n}", score=n) for n in range(3)),
        *(a_run(f"k{n}", score=n + 10, concurrency_key="k") for n in range(3)),
    )
    with store.write() as tx:
        tx.put_queue("q", 2, 0)
    assert claimable(store, Capacity(["job"], 9)) == ["free0", "k0"]
    with store.write() as tx:
        tx.put_queue("q", 1, 0)
    assert claimable(store, Capacity(["job"], 9)) == []
    with store.write() as tx:
        tx.put_queue("q", None, 0)
    assert len(claimable(store, Capacity(["job"], 9))) == 6


def test_a_queue_keeps_what_was_set_when_its_limit_is_declared_again(store: Store) -> None:
    with store.write() as tx:
        tx.put_queue("q", 2, 1)
        tx.add_queues(["q", "new", "new"], 2)
        tx.update_queue(Queue("q", 2, 3, override_limit=0, overridden_at=3, paused_at=3))
        tx.put_queue("q", 2, 4)
        assert tx.get_queue("q") == Queue("q", 2, 3, 0, 3, 3), "nothing new was declared"
        tx.put_queue("q", None, 5)
        assert tx.get_queue("q") == Queue("q", None, 5, 0, 3, 3)
        assert tx.get_queue("new") == Queue("new", None, 2)
        assert tx.get_queue("nope") is None
    with store.read() as tx:
        assert tx.queue_names() == ["new", "q"]


def test_the_load_of_queues_counts_what_executes_and_what_could(store: Store) -> None:
    put(
        store,
        a_run("1", status=Status.EXECUTING, ready=False, worker="w"),
        a_run("2", concurrency_key="k"),
        a_run("3", queue="other"),
        a_run("4", queue="other", status=Status.DELAYED, ready=False),
    )
    with store.read() as tx:
        assert tx.queue_loads(["q", "other", "none"]) == {
            "q": Load(1, 1),
            "other": Load(0, 1),
            "none": Load(),
        }
        assert tx.total_load() == Load(1, 2)


def test_lanes_have_turns_in_the_order_in_which_they_were_served(store: Store) -> None:
    put(store, *(a_run(name, score=n, concurrency_key=name) for n, name in enumerate("abc")))
    one = Capacity(["job"], 1)
    assert claimable(store, one) == ["a"]
    with store.write() as tx:
        tx.serve([("q", "b"), ("q", "a")], 5)
    assert claimable(store, Capacity(["job"], 3)) == ["c", "b", "a"]
    with store.write() as tx:
        tx.serve([("q", "c")], 6)
        tx.serve([("q", "b")], 7)
    assert claimable(store, Capacity(["job"], 3)) == ["a", "c", "b"]
    with store.write() as tx:
        assert [tx.delete_idle_lanes(7, 1), tx.delete_idle_lanes(7, 9)] == [1, 1]
    assert claimable(store, Capacity(["job"], 3)) == ["a", "c", "b"], "a and c count as new, by age"


def test_runs_are_found_by_what_they_are(store: Store) -> None:
    put(
        store,
        a_run("due", due_at=5),
        a_run("later", due_at=50),
        a_run("executing", status=Status.EXECUTING, ready=False, worker="w"),
        a_run("child", parent_id="run_due"),
        a_run("cancelled", parent_id="run_due", cancel_requested=True),
        a_run("ended", parent_id="run_due", status=Status.FAILED, ready=False),
    )
    with store.write() as tx:
        assert [run.id for run in tx.due_runs(10, 9)] == ["run_due"]
        assert [run.id for run in tx.due_runs(50, 1)] == ["run_due"]
        assert [run.id for run in tx.executing_runs("w", 9)] == ["run_executing"]
        assert [run.id for run in tx.executing_runs(None, 9)] == ["run_executing"]
        assert tx.executing_runs("other", 9) == []
        assert len(tx.children("run_due", 9)) == 3
        assert [run.id for run in tx.uncancelled_children("run_due", 9)] == ["run_child"]
        assert tx.next_due(scheduled=["job"]) == 5


def test_a_worker_that_leaves_keeps_what_it_executes_and_loses_what_it_parked(store: Store) -> None:
    put(
        store,
        a_run("parked", status=Status.WAITING, ready=False, worker="w"),
        a_run("other", status=Status.WAITING, ready=False, worker="v"),
        a_run("executing", status=Status.EXECUTING, ready=False, worker="w"),
    )
    ids = ["run_parked", "run_other", "run_executing"]
    with store.write() as tx:
        tx.leave_worker("w")
        assert [tx.get_runs([run])[run].worker for run in ids] == [None, "v", "w"]
        tx.leave_worker(None)
        assert [tx.get_runs([run])[run].worker for run in ids] == [None, None, "w"]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (RunFilter(), "edcba"),
        (RunFilter(status=["QUEUED"]), "ea"),
        (RunFilter(status=["COMPLETED", "FAILED"]), "cb"),
        (RunFilter(task=["other"]), "d"),
        (RunFilter(tag=["x", ODD]), "ba"),
        (RunFilter(batch="batch_1", is_test=True), "c"),
        (RunFilter(is_test=False, created_from=2, created_to=4), "db"),
        (RunFilter(queue=["none"]), ""),
        (RunFilter(version=["1"], machine=["large"]), "e"),
        (RunFilter(schedule="s"), "a"),
    ],
)
def test_listings_filter(store: Store, where: RunFilter, names: str) -> None:
    put(
        store,
        a_run("a", tags=["x"], schedule_id="s"),
        a_run("b", status=Status.COMPLETED, tags=["y", ODD], created_at=2),
        a_run("c", status=Status.FAILED, batch_id="batch_1", is_test=True, created_at=3),
        a_run("d", status=Status.CANCELED, task="other", created_at=4),
        a_run("e", version="1", machine="large", created_at=5),
    )
    with store.read() as tx:
        assert "".join(run.id[-1] for run in tx.list_runs(where, 10, None, None)) == names


def test_listings_go_both_ways(store: Store) -> None:
    seqs = [run.seq for run in put(store, *(a_run(str(n)) for n in range(6)))]
    with store.read() as tx:
        assert [run.seq for run in tx.list_runs(RunFilter(), 2, None, None)] == [seqs[5], seqs[4]]
        assert [run.seq for run in tx.list_runs(RunFilter(), 2, seqs[4], None)] == [seqs[3], seqs[2]]
        assert [run.seq for run in tx.list_runs(RunFilter(), 2, None, seqs[2])] == [seqs[4], seqs[3]]


def test_operations(store: Store) -> None:
    put(store, a_run("1"), a_run("2"))
    first = an_op("1", "0:0", 1, due_at=5, heard=["-0:9", "0:8"])
    second = an_op("1", "0:1", 2, ref="token_1", target=ODD.replace("\x00", ""))
    done = an_op("2", "0:0", 1, done=True, result={"a": ODD})
    with store.write() as tx:
        tx.insert_ops([second, first, done])
        assert tx.get_ops("run_1", 1) == [first, second]
        assert tx.get_op("run_2", 1, "0:0") == done
        assert tx.get_op("run_2", 2, "0:0") is None
        assert tx.due_ops(4, 9) == []
        assert tx.due_ops(5, 9) == [first]
        assert tx.pending_ops(["token_1", "token_2"]) == [second]
        assert tx.next_due(scheduled=[]) == 5
        tx.complete_ops([replace(second, result=[1], done_at=6)])
        assert tx.pending_ops(["token_1"]) == []
        assert [(op.result, op.done_at) for op in tx.take_fresh_ops("run_1", 1)] == [([1], 6)]
        assert tx.take_fresh_ops("run_1", 1) == []
        tx.delete_ops(["run_1"])
        assert tx.get_ops("run_1", 1) == []
        assert tx.get_ops("run_2", 1) == [done]


def test_batches(store: Store) -> None:
    batch = Batch("batch_1", 3, 1, 1, idempotency_key="k" * 2000)
    with store.write() as tx:
        tx.insert_batch(batch, 10)
        assert tx.get_batches(["batch_1", "batch_2"]) == {"batch_1": batch}
        assert tx.batch_by_key("k" * 2000, 9) == batch
        assert tx.batch_by_key("k" * 2000, 10) is None
        assert [stale.id for stale in tx.stale_batches(2)] == ["batch_1"]
        assert tx.stale_batches(1) == []
        tx.insert_batch_items("batch_1", [(1, None), (0, "run_1")])
        tx.insert_batch_errors("batch_1", [BatchError(1, "job", "wrong")])
        assert tx.batch_items("batch_1") == [(0, "run_1"), (1, None)]
        assert tx.batch_indexes("batch_1") == {0, 1}
        assert tx.batch_errors("batch_1") == [BatchError(1, "job", "wrong")]
        changed = replace(batch, sealed=True, accepted=3, remaining=1, status="PROCESSING", updated_at=2)
        tx.update_batches([changed])
        assert tx.get_batches(["batch_1"]) == {"batch_1": changed}
        assert tx.stale_batches(2) == []


def test_watchers_are_taken_as_often_as_they_were_set(store: Store) -> None:
    with store.write() as tx:
        for batch in ("batch_1", "batch_1", "batch_2"):
            tx.watch_for_batch("run_1", batch)
        assert sorted(tx.take_watchers(["run_1", "run_2"])) == ["batch_1", "batch_1", "batch_2"]
        assert tx.take_watchers(["run_1"]) == []


def test_idempotency_keys(store: Store) -> None:
    long_key = "ключ" * 512
    with store.write() as tx:
        assert tx.get_keys([("job", "a"), ("job", long_key)]) == {}
        rows = [IdempotencyRow("job", "a", "run_1", 5), IdempotencyRow("job", long_key, "run_2", 6)]
        tx.put_keys(rows)
    with store.write() as tx:
        found = tx.get_keys([("job", "a"), ("job", long_key), ("other", "a")])
        assert found == {("job", "a"): rows[0], ("job", long_key): rows[1]}
        tx.put_keys([IdempotencyRow("job", "a", "run_3", 9)])
        assert tx.get_keys([("job", "a")])["job", "a"].run_id == "run_3"


def test_tokens(store: Store) -> None:
    token = Token("waitpoint_1", "WAITING", 1, timeout_at=5, idempotency_key="k", idempotency_expires_at=9)
    other = Token("waitpoint_2", "WAITING", 2, tags=["x"])
    with store.write() as tx:
        tx.insert_token(token)
        tx.insert_token(other)
        assert tx.get_token("waitpoint_1") == token
        assert tx.get_token("none") is None
        assert tx.token_by_key("k", 8) == token
        assert tx.token_by_key("k", 9) is None
        assert tx.due_tokens(5, 9) == [token]
        assert tx.next_due(scheduled=[]) == 5
        ended = replace(token, status="COMPLETED", completed_at=3, output=ODD, output_is_error=True)
        tx.update_token(ended)
        assert tx.get_token("waitpoint_1") == ended
        assert tx.due_tokens(5, 9) == []
    with store.read() as tx:
        assert tx.list_tokens(TokenFilter(), 9, None, None) == [other, ended]
        assert tx.list_tokens(TokenFilter(), 9, "waitpoint_2", None) == [ended]
        assert tx.list_tokens(TokenFilter(), 9, None, "waitpoint_1") == [other]
        assert tx.list_tokens(TokenFilter(tags=["x"], status=["WAITING"]), 9, None, None) == [other]


def test_schedules(store: Store) -> None:
    schedule = Schedule("sched_1", "job", "* * * * *", "UTC", next_at=5, last_at=1, external_id="e")
    idle = Schedule("sched_2", "job", "* * * * *", "UTC", active=False, next_at=5)
    with store.write() as tx:
        tx.put_schedule(idle)
        tx.put_schedule(schedule)
        assert tx.schedules() == [schedule, idle]
        assert tx.due_schedules(4, ["job"], 9) == []
        assert tx.due_schedules(5, ["job"], 9) == [schedule]
        assert tx.next_due(scheduled=["job"]) == 5
        assert tx.next_due(scheduled=[]) is None
        tx.put_schedule(replace(schedule, next_at=6))
        assert tx.due_schedules(5, ["job"], 9) == []
        tx.delete_schedule("sched_1")
        assert tx.schedules() == [idle]


def test_schedules_are_found_by_what_they_are(store: Store) -> None:
    def made(name: str, **more: Any) -> Schedule:
        fields = {"task": "job", "cron": "* * * * *", "timezone": "UTC", **more}
        return Schedule(f"sched_{name}", **fields)

    first = made("1", next_at=7, type="IMPERATIVE", deduplication_key=ODD.replace("\x00", ""))
    second = made("2", next_at=5)
    third = made("3", next_at=3, task="else")
    with store.write() as tx:
        for schedule in (third, first, second):
            tx.put_schedule(schedule)
        assert tx.schedules("IMPERATIVE") == [first]
        assert tx.schedules("DECLARATIVE") == [third, second]
        assert (tx.get_schedule("sched_2"), tx.get_schedule("sched_9")) == (second, None)
        assert tx.schedule_by_key(first.deduplication_key or "") == first
        assert tx.schedule_by_key("none") is None
        assert tx.list_schedules(2, 1) == [first, second]
        assert tx.count_schedules() == 3
        assert tx.due_schedules(9, ["job", "else"], 2) == [third, second]
        assert tx.due_schedules(9, ["job"], 9) == [second, first]
        assert tx.due_schedules(9, [], 9) == []
        assert tx.next_due(scheduled=["job"]) == 5
        assert tx.next_due(scheduled=["job", "else"]) == 3
        assert tx.next_due(scheduled=["none"]) is None


def test_variables(store: Store) -> None:
    first = Variable("A", "1:sealed", False, 1)
    second = Variable("B", "1:" + "x" * 90_000, True, 2)
    with store.write() as tx:
        tx.put_variable(second)
        tx.put_variable(first)
        assert tx.variables() == [first, second]
        tx.put_variable(replace(first, value="1:other", is_secret=True, updated_at=3))
        tx.delete_variable("B")
        tx.delete_variable("none")
    with store.read() as tx:
        assert tx.variables() == [Variable("A", "1:other", True, 3)]


def test_stored_bodies_are_needed_by_what_names_them(store: Store) -> None:
    stored = {"payload_type": "application/store", "output_type": "application/store"}
    runs = [
        a_run("1", payload="bodies/1", output="bodies/2", **stored),
        a_run("2", payload="bodies/3", output="bodies/4"),
    ]
    token = Token("waitpoint_1", "COMPLETED", 1, output="bodies/5", output_type="application/store")
    child = {"ok": True, "output": "bodies/6", "output_type": "application/store"}
    done = an_op("1", "0:0", 0, done=True, result={"id": "batch_1", "runs": [child]})
    text = an_op("1", "0:1", 1, done=True, result={"output": '"bodies/7"', "output_type": "application/json"})
    with store.write() as tx:
        tx.insert_runs(runs)
        tx.insert_token(token)
        tx.insert_ops([done, text])
    asked = [f"bodies/{n}" for n in range(9)]
    with store.read() as tx:
        assert tx.needed_bodies(asked) == {"bodies/1", "bodies/2", "bodies/5", "bodies/6"}
        assert tx.needed_bodies(["bodies/2", "bodies/8"]) == {"bodies/2"}
        assert tx.needed_bodies([]) == set()


def test_logs_come_in_order_from_a_place(store: Store) -> None:
    lines = [LogEntry(0, "run_1", 1, n, "stdout", "info", ODD, {"n": n} if n else None) for n in range(3)]
    with store.write() as tx:
        tx.append_logs([*lines, LogEntry(0, "run_2", 1, 0, "stdout", "info", "other")])
    with store.read() as tx:
        found = tx.read_logs("run_1", 0, 9)
        assert [replace(line, seq=0) for line in found] == lines
        assert tx.read_logs("run_1", found[0].seq, 1) == [found[1]]


def test_lines_know_the_span_that_they_were_written_in(store: Store) -> None:
    line = LogEntry(0, "run_1", 1, 5, "stdout", "info", "in a span", span="abc")
    with store.write() as tx:
        tx.append_logs([line])
        assert replace(tx.read_logs("run_1", 0, 9)[0], seq=0) == line


SPAN = Span("run_1", "s1", 1, "p", ODD, "user", 5, None, None, {"a": [1], "b": ODD}, [{"name": ODD, "at": 6}])


def test_spans_come_by_run_in_the_order_of_their_starts(store: Store) -> None:
    later = replace(SPAN, id="s2", started_ns=7, ended_ns=2**62, error=ODD, attributes=None, events=None)
    other = replace(SPAN, run="run_2", started_ns=6)
    with store.write() as tx:
        tx.put_spans([later, SPAN, other])
    with store.read() as tx:
        assert tx.read_spans(["run_1", "run_2"], 9) == [SPAN, other, later]
        assert tx.read_spans(["run_1", "run_2"], 2) == [SPAN, other]
        assert tx.read_spans(["run_2"], 9) == [other]
        assert tx.read_spans([], 9) == []
        assert tx.open_spans("run_1", 1) == {"s1": 5}
        assert tx.open_spans("run_1", 2) == {}


def test_a_span_that_is_told_again_keeps_its_first_start_and_its_end(store: Store) -> None:
    ended = replace(SPAN, started_ns=8, ended_ns=9, error="x", attributes={"a": 2})
    begun_again = replace(SPAN, started_ns=3, attributes=None)
    with store.write() as tx:
        tx.put_spans([SPAN])
        tx.put_spans([ended])
        assert tx.read_spans(["run_1"], 9) == [replace(ended, started_ns=5)]
        tx.put_spans([begun_again])
        assert tx.read_spans(["run_1"], 9) == [replace(ended, started_ns=5)]
        tx.put_spans([replace(ended, started_ns=4, ended_ns=12)])
        assert tx.read_spans(["run_1"], 9) == [replace(ended, started_ns=4, ended_ns=12)]


def test_workers_and_counters(store: Store) -> None:
    with store.write() as tx:
        tx.put_worker("w", 5)
        tx.put_worker("v", 9)
        assert tx.expired_workers(6) == ["w"]
        tx.put_worker("w", 7)
        assert tx.expired_workers(6) == []
        tx.delete_worker("v")
        assert tx.expired_workers(99) == ["w"]
        assert [tx.count_up("a"), tx.count_up("a"), tx.count_up("b")] == [1, 2, 1]
