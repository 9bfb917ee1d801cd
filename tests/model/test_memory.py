"""What the store in memory promises as a store: transactions, snapshots, one engine at a time."""

from collections.abc import Iterator

import pytest

from triggerdev import errors
from triggerdev.engine.model import Run, RunFilter, Status
from triggerdev.engine.store.memory import MemoryStore
from triggerdev.engine.store.protocol import Store, Tx


def a_run(run_id: str, **fields: object) -> Run:
    run = Run(0, run_id, "job", Status.PENDING, "task/job", 1, 1)
    for name, value in fields.items():
        setattr(run, name, value)
    return run


def ids(tx: Tx) -> list[str]:
    return [run.id for run in tx.list_runs(RunFilter(), 100, None, None)]


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore()
    store.open()
    with store.write() as tx:
        tx.insert_runs([a_run("run_1", tags=["a"])])
    yield store
    store.close()


def test_an_exception_rolls_everything_back(store: MemoryStore) -> None:
    with pytest.raises(RuntimeError), store.write() as tx:
        tx.insert_runs([a_run("run_2")])
        tx.count_up("version")
        tx.put_worker("w1", 5)
        assert ids(tx) == ["run_2", "run_1"]
        raise RuntimeError
    with store.write() as tx:
        assert (ids(tx), tx.count_up("version"), tx.expired_workers(9)) == (["run_1"], 1, [])


def test_a_reader_sees_what_was_committed_when_it_began(store: MemoryStore) -> None:
    with store.read() as before, store.write() as tx:
        tx.insert_runs([a_run("run_2")])
        assert ids(before) == ["run_1"]
        with store.read() as beside:
            assert ids(beside) == ["run_1"]
    assert ids(before) == ["run_1"]
    with store.read() as after:
        assert ids(after) == ["run_2", "run_1"]


def test_rows_that_are_given_out_can_be_changed_without_harm(store: MemoryStore) -> None:
    with store.read() as tx:
        tx.get_runs(["run_1"])["run_1"].tags.append("b")
        assert tx.get_runs(["run_1"])["run_1"].tags == ["a"]


def test_what_no_disk_could_hold_is_refused(store: MemoryStore) -> None:
    with pytest.raises(errors.InvalidOptionError, match="half a surrogate pair"), store.write() as tx:
        tx.insert_runs([a_run("run_2", output="\ud800")])


def test_a_second_engine_is_refused_and_the_data_outlives_the_first(store: MemoryStore) -> None:
    with pytest.raises(errors.AlreadyRunningError):
        store.open()
    store.close()
    store.open()
    with store.read() as tx:
        assert ids(tx) == ["run_1"]


def test_it_is_a_store() -> None:
    store: Store = MemoryStore()  # mypy compares every method with the protocol
    store.close()
