"""The run's copy of its metadata has each of its changes once, whatever state of the engine comes when."""

from typing import Any

from triggerdev.protocol import OpRecord
from triggerdev.worker.executor.own_metadata import OwnMetadata
from triggerdev.worker.executor.record import Record


def add(number: int) -> dict[str, Any]:
    return {"type": "increment", "key": "n", "value": number}


def op(name: str) -> OpRecord:
    return {"op": name, "kind": "metadata", "target": None, "done": True, "result": {"metadata": {}}}


def used(record: Record) -> OwnMetadata:
    own = OwnMetadata(record)
    own.current({"n": 1})
    return own


def test_a_state_that_was_asked_for_before_a_change_does_not_undo_it() -> None:
    own = used(Record(()))
    asked = own.ask()
    own.apply(add(10), own.moment())
    own.forgo()
    own.show({"n": 1, "child": True}, asked)
    assert own.snapshot() == {"n": 11, "child": True}


def test_a_state_that_was_asked_for_after_a_change_has_it() -> None:
    own = used(Record(()))
    own.apply(add(10), own.moment())
    asked = own.ask()
    own.forgo()
    own.show({"n": 11}, asked)
    assert own.snapshot() == {"n": 11}


def test_of_two_states_the_one_asked_for_later_counts() -> None:
    own = used(Record(()))
    first, second = own.ask(), own.ask()
    own.show({"n": 3}, second)
    own.show({"n": 2}, first)
    assert own.snapshot() == {"n": 3}


def test_a_replay_that_comes_to_a_change_before_an_earlier_state_keeps_it() -> None:
    own = used(Record([op("0.0:0"), op("0.1:m1"), op("0.2:0")]))
    own.apply(add(10), own.moment(1))
    own.show({"n": 5}, own.moment(0))
    assert own.snapshot() == {"n": 15}
    own.show({"n": 15}, own.moment(2))
    assert own.snapshot() == {"n": 15}


def test_a_recorded_change_that_is_shown_already_is_not_applied_again() -> None:
    own = used(Record([op("0.0:0"), op("0.1:m1"), op("0.2:0")]))
    own.show({"n": 11}, own.moment(2))
    own.apply(add(10), own.moment(1))
    assert own.snapshot() == {"n": 11}
