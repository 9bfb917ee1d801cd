"""Steps, and the order of a record that several processes have written."""

from typing import Any

from tests.engine.kit import EngineKit, Worker
from triggerdev.protocol import MAX_STORED_BYTES

KEPT: dict[str, Any] = {"output": '{"n": 1}', "output_type": "application/json"}


async def test_a_step_is_recorded_and_given_to_the_next_process(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    reply = await worker.op(run, "0:0", "step", "charge", **KEPT, metadata={"a": 1}, tags=["b"])
    assert reply["result"] == {**KEPT, "metadata": {"a": 1}, "tags": ["b"]}
    second = await worker.op(run, "0:0", "step", "charge", output="2")
    assert second["result"] == reply["result"]  # what is recorded stays
    await worker.lost(run)
    started = await worker.started(run)
    (op,) = started["record"]
    assert (op["op"], op["kind"], op["target"], op["done"]) == ("0:0", "step", "charge", True)
    assert op["result"] == reply["result"]
    assert started["metadata"] == {}  # it is the run's copy, not a change


async def test_a_failure_of_a_step_is_recorded_as_it_was_told(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    error = {"module": "builtins", "name": "ValueError", "args": ["no"], "attributes": {}}
    reply = await worker.op(run, "0:0", "step", "charge", error=error, tags=["a"])
    assert reply["result"] == {"error": error, "tags": ["a"]}


async def test_a_result_that_is_too_long_is_refused(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    reply = await worker.op(run, "0:0", "step", "charge", output="x" * (MAX_STORED_BYTES + 1))
    assert reply["error_kind"] == "InvalidOptionError"
    assert f"result of step 'charge' is {MAX_STORED_BYTES + 1} characters" in reply["error"]


async def test_a_record_is_in_the_order_in_which_it_was_written(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    for n in range(3):
        await worker.op(run, f"0:{n}", "tags", None, tags=[f"t{n}"])
    for n in range(3, 6):  # in another process, which counts its messages from 1
        await worker.lost(run)
        started = await worker.started(run)
        message = worker.op_message(run, f"0:{n}", "tags", None, tags=[f"t{n}"])
        await worker.say(message | {"id": 1})
        await worker.next("reply", run)
    assert [op["op"] for op in started["record"]] == [f"0:{n}" for n in range(5)]
    first = started["record"][0]["result"]
    assert (first["before"], first["tags"]) == ([], ["t0"])


async def test_metadata_keeps_what_the_attempt_saw_first(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    change = {"type": "set", "key": "a", "value": 2}
    reply = await worker.op(run, "0:m1", "metadata", None, operations=[change], base={"a": 1})
    assert reply["result"] == {"metadata": {"a": 2}, "base": {"a": 1}}
