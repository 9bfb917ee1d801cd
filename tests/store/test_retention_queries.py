"""What every store promises of the queries of retention."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.test_memory import a_run
from tests.store.backends import make_backend
from triggerdev.engine.model import Batch, LogEntry, Span, Status, Token
from triggerdev.engine.store.protocol import IdempotencyRow, OpRow, Store, Tx

START = (-1, "")


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    backend = make_backend(request.param, tmp_path)
    store = backend.make()
    store.open()
    yield store
    store.close()
    backend.close()


def put(tx: Tx, *ids: str, **fields: object) -> None:
    tx.insert_runs([a_run(each, **{"finished_at": 10, "status": Status.COMPLETED, **fields}) for each in ids])


def line(run: str, at: int) -> LogEntry:
    return LogEntry(0, run, 1, at, "stdout", "info", "hello")


def test_what_finished_is_listed_in_order_and_by_pages(store: Store) -> None:
    with store.write() as tx:
        put(tx, "b", "a", finished_at=10)
        put(tx, "c", finished_at=5)
        put(tx, "later", finished_at=11)
        put(tx, "alive", finished_at=None, status=Status.PENDING)
        assert tx.finished("runs", 11, START, 9) == [(5, "c"), (10, "a"), (10, "b")]
        assert tx.finished("runs", 11, START, 2) == [(5, "c"), (10, "a")]
        assert tx.finished("runs", 11, (10, "a"), 9) == [(10, "b")]
        assert tx.finished("runs", 5, START, 9) == []


def test_what_keeps_a_run(store: Store) -> None:
    with store.write() as tx:
        put(tx, "free", "root")
        put(tx, "middle", parent_id="root")
        put(tx, "leaf", parent_id="middle")
        put(tx, "alive", finished_at=None, status=Status.WAITING)
        put(tx, "asked", parent_id="alive")
        put(tx, "keyed", "other's", idempotency_key="k" * 600)
        tx.put_keys([IdempotencyRow("job", "k" * 600, "keyed", 100)])
        put(tx, "counted", "done")
        tx.insert_batch(Batch("open", 1, 1, 1), None)
        tx.insert_batch(Batch("closed", 1, 1, 1, completed_at=9), 50)
        tx.insert_batch_items("open", [(0, "counted"), (1, None)])
        tx.insert_batch_items("closed", [(0, "done")])
        every = ["free", "root", "middle", "leaf", "asked", "keyed", "other's", "counted", "done"]
        assert tx.needed("runs", every, 49) == {"root", "middle", "asked", "keyed", "counted", "done"}
        assert tx.needed("runs", every, 50) == {"root", "middle", "asked", "keyed", "counted"}
        assert tx.needed("runs", every, 100) == {"root", "middle", "asked", "counted"}
        assert tx.needed("batches", ["open", "closed"], 49) == {"open", "closed"}
        tx.delete("runs", ["counted", "done"])
        assert tx.needed("batches", ["open", "closed"], 49) == {"closed"}
        assert tx.needed("batches", ["open", "closed"], 50) == set()


def test_runs_go_with_their_keys_and_operations(store: Store) -> None:
    with store.write() as tx:
        put(tx, "1", "2", idempotency_key="k")
        tx.put_keys([IdempotencyRow("job", "k", "1", 5), IdempotencyRow("other", "k", "2", 5)])
        tx.insert_ops([OpRow(run, 1, "0:0", 1, "wait", None, done=False, due_at=3) for run in ("1", "2")])
        tx.delete("runs", ["1"])
        assert set(tx.get_runs(["1", "2"])) == {"2"}
        assert set(tx.get_keys([("job", "k"), ("other", "k")])) == {("other", "k")}
        assert [op.run_id for op in tx.due_ops(9, 9)] == ["2"]
        tx.delete("runs", ["2"])
        assert (tx.get_ops("2", 1), tx.due_ops(9, 9)) == ([], [])


def test_batches_go_with_their_items(store: Store) -> None:
    with store.write() as tx:
        tx.insert_batch(Batch("b1", 1, 1, 1, completed_at=9), None)
        tx.insert_batch(Batch("b2", 1, 1, 1, completed_at=8), None)
        tx.insert_batch_items("b1", [(0, "1")])
        assert tx.finished("batches", 10, START, 9) == [(8, "b2"), (9, "b1")]
        tx.delete("batches", ["b1"])
        assert (set(tx.get_batches(["b1", "b2"])), tx.batch_items("b1")) == ({"b2"}, [])


def test_what_keeps_a_token(store: Store) -> None:
    token = Token("t1", "COMPLETED", 1, completed_at=9)
    with store.write() as tx:
        tx.insert_token(token)
        tx.insert_token(replace(token, id="t2", idempotency_key="a", idempotency_expires_at=50))
        tx.insert_token(replace(token, id="t3", idempotency_key="b", idempotency_expires_at=2**53))
        tx.insert_token(replace(token, id="t4", status="WAITING", completed_at=None))
        put(tx, "run", finished_at=None, status=Status.WAITING)
        tx.insert_ops([OpRow("run", 1, "0:0", 1, "create_token", None, done=True, result={"id": "t1"})])
        assert [found for _, found in tx.finished("tokens", 10, START, 9)] == ["t1", "t2", "t3"]
        assert tx.needed("tokens", ["t1", "t2", "t3"], 49) == {"t1", "t2"}
        assert tx.needed("tokens", ["t1", "t2", "t3"], 50) == {"t1"}
        tx.delete("tokens", ["t2", "t3"])
        assert tx.get_token("t2") is None


def test_lines_go_by_run_and_by_age(store: Store) -> None:
    with store.write() as tx:
        tx.append_logs([line("1", 5), line("1", 50), line("2", 5), line("1", 5), line("2", 60)])
        assert tx.delete_old_logs(50, 3) == 2
        assert [entry.at for entry in tx.read_logs("1", 0, 9)] == [50, 5]
        assert tx.delete_old_logs(50, 3) == 1
        assert tx.delete_old_logs(50, 3) == 0
        assert tx.delete_logs_of(["1", "2"], 1) == 1
        assert tx.delete_logs_of(["1", "2"], 5) == 1


def test_spans_go_by_run_and_by_age(store: Store) -> None:
    starts = {"a": 5, "b": 50, "c": 5, "d": 60}
    spans = [
        Span("1" if name < "c" else "2", name, 1, "p", name, "user", ms * 10**6)
        for name, ms in starts.items()
    ]
    with store.write() as tx:
        tx.put_spans(spans)
        assert tx.delete_old_spans(50, 2) == 1
        assert tx.delete_old_spans(50, 3) == 1
        assert tx.delete_old_spans(50, 3) == 0
        assert [span.id for span in tx.read_spans(["1", "2"], 9)] == ["b", "d"]
        assert tx.delete_spans_of(["1", "2"], 1) == 1
        assert tx.delete_spans_of(["1", "2"], 5) == 1
        assert tx.read_spans(["1", "2"], 9) == []


def test_expired_requests_go_and_keys_of_runs_do_not(store: Store) -> None:
    with store.write() as tx:
        rows = [IdempotencyRow("", f"r{n}", "run", n) for n in range(5)]
        tx.put_keys([*rows, IdempotencyRow("job", "k", "run", 0)])
        assert [tx.delete_expired_requests(3, 3), tx.delete_expired_requests(3, 3)] == [3, 1]
        assert set(tx.get_keys([("", "r3"), ("", "r4"), ("job", "k")])) == {("", "r4"), ("job", "k")}


def test_nobody_else_deletes_meanwhile(store: Store) -> None:
    with store.write() as tx:
        assert tx.try_lock("retention")
