"""Waits: for a time, for a token; parking, waking, and every way in which the two can cross."""

import pytest

from tests.engine.kit import HOUR, MINUTE, SECOND, START, EngineKit, Worker
from triggerdev import errors
from triggerdev.engine.model import Status, TokenFilter

OK = {"ok": True, "output": '"yes"', "output_type": "application/json"}


async def waiting_for(kit: EngineKit, token: str, op: str = "0:0") -> str:
    """A run that is parked until a token is completed."""
    run = await kit.start()
    reply = await kit.worker.op(run, op, "wait_token", token, is_name=False)
    assert reply["pending"]
    await kit.worker.park(run, op)
    return run


async def test_a_run_parks_waits_and_goes_on_in_its_process(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    token = worker.tokens[run]
    await worker.wait_parked(run, ms=10 * SECOND)
    assert await kit.status(run) is Status.WAITING
    assert worker.executing == []
    await kit.advance(10 * SECOND - 1)
    assert worker.heard("resume") == []
    await kit.advance(1)
    message = await worker.next("resume", run)
    assert (message["old"], message["token"]) == (token, token + 1)
    assert [(op["op"], op["kind"], op["done"], op["result"]) for op in message["ops"]] == [
        ("0:0", "wait", True, None)
    ]
    await worker.ok(run)
    assert (await kit.run(run)).attempt == 1
    assert kit.kinds(run) == ["queued", "started", "waiting", "resumed", "finished"]


async def test_a_wait_until_a_time_that_is_over_is_done_at_once(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    assert (await worker.op(run, "0:0", "wait", None, until=START))["result"] is None
    assert (await worker.op(run, "0:1", "wait", None, for_ms=0))["result"] is None
    assert (await worker.op(run, "0:2", "wait", None, until=START + 1)).get("pending")


async def test_a_wait_of_more_than_ten_years_is_refused(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    reply = await worker.op(run, "0:0", "wait", None, for_ms=11 * 366 * 24 * HOUR)
    assert "ten years" in reply["error"]
    assert reply["error_kind"] == "InvalidOptionError"


async def test_an_operation_that_is_said_twice_acts_once(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    first = await worker.op(run, "0:0", "trigger", "child")
    again = await worker.op(run, "0:0", "trigger", "child")
    assert first["result"] == again["result"]
    assert len((await kit.engine.retrieve_run(run)).children) == 1
    assert (await worker.op(run, "0:1", "wait", None, for_ms=HOUR))["pending"]
    kit.clock.advance(MINUTE)
    assert (await worker.op(run, "0:1", "wait", None, for_ms=HOUR))["pending"]
    assert kit.query("SELECT due_at FROM ops WHERE op = '0:1'") == [(START + HOUR,)]


async def test_an_unknown_operation_is_refused(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    reply = await worker.op(run, "0:0", "fly")
    assert "'fly' is no operation" in reply["error"]


async def test_an_operation_that_completes_before_the_park_arrives_wakes_at_once(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    await worker.op(run, "0:0", "wait", None, for_ms=SECOND)
    await kit.advance("1s")
    done = await worker.next("op_done", run)
    assert (done["op"], done["token"]) == ("0:0", worker.tokens[run])
    await worker.park(run, "0:0")  # sent before op_done came
    resumed = await worker.next("resume", run)
    assert [op["op"] for op in resumed["ops"]] == ["0:0"]


async def test_the_first_of_two_operations_wakes_and_the_second_comes_while_executing(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    await worker.op(run, "0.0:0", "wait", None, for_ms=SECOND)
    await worker.op(run, "0.1:0", "wait", None, for_ms=5 * SECOND)
    await worker.park(run, "0.0:0", "0.1:0")
    await kit.advance("1s")
    resumed = await worker.next("resume", run)
    assert [op["op"] for op in resumed["ops"]] == ["0.0:0"]
    await kit.advance("4s")
    assert (await worker.next("op_done", run))["op"] == "0.1:0"
    assert await kit.status(run) is Status.EXECUTING


async def test_a_run_that_parks_again_for_the_rest_is_woken_again(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0.0:0", "wait", None, for_ms=SECOND)
    await worker.op(run, "0.1:0", "wait", None, for_ms=5 * SECOND)
    await worker.park(run, "0.0:0", "0.1:0")
    await kit.advance("1s")
    await worker.next("resume", run)
    await worker.park(run, "0.1:0")
    await kit.advance("4s")
    resumed = await worker.next("resume", run)
    assert [op["op"] for op in resumed["ops"]] == ["0.1:0"]


async def test_both_operations_while_the_run_has_no_slot(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0.0:0", "wait", None, for_ms=SECOND)
    await worker.op(run, "0.1:0", "wait", None, for_ms=5 * SECOND)
    await worker.park(run, "0.0:0", "0.1:0")
    worker.room["async"] = 0
    await kit.advance("1s")
    assert await kit.status(run) is Status.PENDING
    await kit.advance("4s")
    worker.room["async"] = 1
    kit.engine.pump()
    resumed = await worker.next("resume", run)
    assert [op["op"] for op in resumed["ops"]] == ["0.0:0", "0.1:0"]


async def test_an_evicted_run_starts_from_its_record(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    child = (await worker.op(run, "0:0", "trigger", "child"))["result"]
    await worker.wait_parked(run, "0:1", SECOND)
    await worker.evicted(run)
    assert await kit.status(run) is Status.WAITING
    await kit.advance("1s")
    started = await worker.started(run)
    assert (started["attempt"], started["resumed"]) == (1, True)
    assert started["record"] == [
        {"op": "0:0", "kind": "trigger", "target": "child", "done": True, "result": child},
        {"op": "0:1", "kind": "wait", "target": None, "done": True, "result": None, "at": START + SECOND},
    ]


async def test_a_lost_run_starts_from_a_record_with_what_is_pending(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0:0", "wait", None, for_ms=HOUR)
    await worker.lost(run)
    started = await worker.started(run)
    assert [(op["op"], op["done"]) for op in started["record"]] == [("0:0", False)]
    await kit.advance("1h")
    assert (await worker.next("op_done", run))["op"] == "0:0"


async def test_an_evicted_run_that_already_had_its_slot_again_is_taken_over(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    await worker.wait_parked(run, ms=SECOND)
    old = worker.tokens[run]
    await kit.advance("1s")
    await worker.next("resume", run)
    await worker.say({"t": "evicted", "run": run, "token": old})  # crossed the resume: no effect
    assert await kit.status(run) is Status.EXECUTING
    await worker.evicted(run)
    assert (await worker.started(run))["resumed"] is True


async def test_a_parked_run_that_another_worker_takes_is_let_go_by_the_first(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    token = worker.tokens[run]
    await worker.wait_parked(run, ms=SECOND)
    other = kit.connect("w2")
    worker.room["async"] = 0
    await kit.advance("1s")
    assert (await other.started(run))["resumed"] is True
    assert (await worker.next("evict", run))["token"] == token


async def test_a_run_may_end_while_it_waits(kit: EngineKit, worker: Worker) -> None:
    """Another branch that needs no operation goes on and returns."""
    run = await kit.start()
    await worker.wait_parked(run)
    await worker.ok(run)
    assert await kit.status(run) is Status.COMPLETED
    await kit.advance("1h")
    assert await kit.status(run) is Status.COMPLETED
    assert kit.query("SELECT count(*) FROM ops") == [(0,)]


async def test_compute_time_stands_still_while_parked(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0:0", "wait", None, for_ms=HOUR)
    await worker.park(run, "0:0", usage_ms=250)
    await worker.evicted(run)
    await kit.advance("1h")
    assert (await worker.started(run))["usage_ms"] == 250


async def test_a_result_that_a_replay_did_not_take_comes_again_when_it_waits_for_it(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start()
    await worker.op(run, "0.0:0", "wait", None, for_ms=HOUR)
    await worker.op(run, "0.1:0", "wait", None, for_ms=MINUTE)
    await worker.park(run, "0.0:0", "0.1:0")
    await kit.advance("61s")
    assert [op["op"] for op in (await worker.next("resume", run))["ops"]] == ["0.1:0"]
    await worker.park(run, "0.0:0", "0.1:0")  # its branch had not come to this wait again
    assert [op["op"] for op in (await worker.next("resume", run))["ops"]] == ["0.1:0"]
    await worker.park(run, "0.0:0")
    assert await kit.status(run) is Status.WAITING


async def test_resuming_after_many_operations_sends_only_the_new_ones(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    for n in range(50):
        await worker.op(run, f"0:{2 * n}", "tags", None, tags=["x"])
        await worker.wait_parked(run, f"0:{2 * n + 1}", SECOND)
        await kit.advance("1s")
        assert len((await worker.next("resume", run))["ops"]) == 1


# -- tokens


async def test_a_token_is_completed_while_a_run_waits(kit: EngineKit, worker: Worker) -> None:
    token = (await kit.engine.tokens.create()).id
    run = await waiting_for(kit, token)
    await kit.engine.tokens.complete(token, '"yes"', "application/json")
    resumed = await worker.next("resume", run)
    assert resumed["ops"][0]["result"] == OK


async def test_a_token_that_is_complete_already(kit: EngineKit, worker: Worker) -> None:
    token = (await kit.engine.tokens.create()).id
    await kit.engine.tokens.complete(token, '"yes"', "application/json")
    await kit.engine.tokens.complete(token, '"no"', "application/json")  # it stays as it is
    run = await kit.start()
    assert (await worker.op(run, "0:0", "wait_token", token, is_name=False))["result"] == OK


async def test_several_runs_wait_for_one_token(kit: EngineKit, worker: Worker) -> None:
    token = (await kit.engine.tokens.create()).id
    runs = [await waiting_for(kit, token) for _ in range(3)]
    await kit.engine.tokens.complete(token, None, "application/json")
    for run in runs:
        await worker.next("resume", run)


async def test_a_token_times_out(kit: EngineKit, worker: Worker) -> None:
    token = (await kit.engine.tokens.create(timeout="10m")).id
    run = await waiting_for(kit, token)
    await kit.advance("10m")
    result = (await worker.next("resume", run))["ops"][0]["result"]
    assert result["ok"] is False
    assert result["error"]["name"] == "WaitpointTimeoutError"
    assert "2026-01-01T00:10:00.000Z" in result["error"]["message"]
    ended = await kit.engine.tokens.retrieve(token)
    assert (ended.status, ended.completed_at) == ("TIMED_OUT", START + 10 * MINUTE)
    await kit.engine.tokens.complete(token, '"late"', "application/json")
    assert (await kit.engine.tokens.retrieve(token)).status == "TIMED_OUT"


async def test_a_token_by_name_is_made_by_the_first_who_names_it(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0:0", "wait_token", "approval", timeout_ms=HOUR, is_name=True)
    await worker.park(run, "0:0")
    second = await kit.start()
    await worker.op(second, "0:0", "wait_token", "approval", is_name=True)
    await worker.park(second, "0:0")
    await kit.engine.tokens.complete("approval", '"yes"', "application/json")
    assert (await worker.next("resume", run))["ops"][0]["result"] == OK
    assert (await worker.next("resume", second))["ops"][0]["result"] == OK
    third = await kit.start()
    assert (await worker.op(third, "0:0", "wait_token", "approval", is_name=True))["result"] == OK


async def test_the_timeout_of_a_named_token_counts_from_its_creation(kit: EngineKit, worker: Worker) -> None:
    await kit.engine.tokens.create(idempotency_key="approval", timeout="1h")
    await kit.advance("50m")
    run = await kit.start()
    await worker.op(run, "0:0", "wait_token", "approval", timeout_ms=HOUR, is_name=True)
    await worker.park(run, "0:0")
    await kit.advance("10m")
    assert (await worker.next("resume", run))["ops"][0]["result"]["ok"] is False


async def test_a_token_that_nobody_made_is_refused_by_id(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    reply = await worker.op(run, "0:0", "wait_token", "waitpoint_none", is_name=False)
    assert (reply["error_kind"], "waitpoint_none" in reply["error"]) == ("NoSuchRunError", True)
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.tokens.complete("nothing", None, "application/json")
    with pytest.raises(errors.NoSuchRunError):
        await kit.engine.tokens.retrieve("nothing")


async def test_a_name_is_free_again_when_its_time_is_over(kit: EngineKit) -> None:
    first = await kit.engine.tokens.create(idempotency_key="k", idempotency_ttl_ms=HOUR)
    assert await kit.engine.tokens.create(idempotency_key="k") == type(first)(first.id, is_cached=True)
    await kit.advance("1h")
    second = await kit.engine.tokens.create(idempotency_key="k")
    assert second.id != first.id
    await kit.engine.tokens.complete("k", None, "application/json")
    assert (await kit.engine.tokens.retrieve(first.id)).status == "WAITING"
    assert (await kit.engine.tokens.retrieve(second.id)).status == "COMPLETED"


async def test_tokens_are_made_and_completed_from_inside_runs(kit: EngineKit, worker: Worker) -> None:
    run, helper = await kit.start(), await kit.start()
    made = (await worker.op(run, "0:0", "create_token", "approval", tags=["t"]))["result"]
    assert made["is_cached"] is False
    assert (await kit.engine.tokens.retrieve(made["id"])).tags == ["t"]
    await worker.op(run, "0:1", "wait_token", made["id"], is_name=False)
    await worker.park(run, "0:1")
    reply = await worker.op(
        helper, "0:0", "complete_token", "approval", output='"yes"', output_type="application/json"
    )
    assert reply["result"] == {"ok": True}
    assert (await worker.next("resume", run))["ops"][0]["result"] == OK


@pytest.mark.parametrize("timeout", ["soon", "9" * 80 + "w", 2**70, "9999-01-01"])
async def test_a_timeout_that_cannot_be_read_is_refused(kit: EngineKit, timeout: str | int) -> None:
    with pytest.raises(errors.InvalidOptionError, match="timeout"):
        await kit.engine.tokens.create(timeout=timeout)


async def test_tokens_are_listed_by_status_key_tag_and_time(kit: EngineKit) -> None:
    a = (await kit.engine.tokens.create(idempotency_key="a", tags=["red"])).id
    kit.clock.advance(1)
    b = (await kit.engine.tokens.create(tags=["red", "blue"])).id
    kit.clock.advance(1)
    c = (await kit.engine.tokens.create()).id
    await kit.engine.tokens.complete(c, None, "application/json")

    async def ids(**where: object) -> list[str]:
        page = await kit.engine.tokens.list(TokenFilter(**where))  # type: ignore[arg-type]  # fields by name
        return [token.id for token in page.items]

    assert await ids() == [c, b, a]
    assert await ids(status=["WAITING"]) == [b, a]
    assert await ids(idempotency_key="a") == [a]
    assert await ids(tags=["blue"]) == [b]
    assert await ids(created_from=START + 1, created_to=START + 1) == [b]


async def woken_without_a_slot(kit: EngineKit, worker: Worker) -> str:
    """Give a run that stands parked at the worker and queues for its slot, as its wait is over."""
    run = await kit.start()
    await worker.wait_parked(run, "0.0:0", SECOND)
    worker.room["async"] = 0
    await kit.advance("2s")
    assert await kit.status(run) is Status.PENDING
    return run


async def test_a_run_may_end_while_it_queues_for_its_slot(kit: EngineKit, worker: Worker) -> None:
    run = await woken_without_a_slot(kit, worker)
    await worker.ok(run, 1)
    assert await kit.status(run) is Status.COMPLETED
    worker.room["async"] = 9
    kit.engine.pump()
    await kit.settled()
    assert [m["t"] for m in worker.heard() if m.get("run") == run] == []


async def test_a_run_may_fail_and_retry_while_it_queues_for_its_slot(kit: EngineKit, worker: Worker) -> None:
    run = await woken_without_a_slot(kit, worker)
    await worker.fail(run)
    assert await kit.status(run) is Status.RETRYING
    worker.room["async"] = 9
    await kit.advance(HOUR)
    started = await worker.started(run)
    assert (started["attempt"], started["record"]) == (2, [])


async def test_an_operation_is_done_while_its_run_queues_for_its_slot(kit: EngineKit, worker: Worker) -> None:
    run = await woken_without_a_slot(kit, worker)
    assert (await worker.op(run, "0.1:0", "trigger", "child"))["result"]
    worker.room["async"] = 9
    kit.engine.pump()
    resumed = await worker.next("resume", run)
    assert [op["op"] for op in resumed["ops"]] == ["0.0:0"]


async def test_who_has_let_go_of_a_woken_run_cannot_end_it(kit: EngineKit, worker: Worker) -> None:
    run = await woken_without_a_slot(kit, worker)
    token = worker.tokens[run]
    await worker.evicted(run)
    await worker.say({"t": "done", "run": run, "token": token, "outcome": "ok", "output": "1"})
    assert await kit.status(run) is Status.PENDING


async def test_results_come_in_the_order_in_which_they_came_about(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    for branch, seconds in enumerate((3, 1, 2)):
        await worker.op(run, f"0.{branch}:0", "wait", None, for_ms=seconds * SECOND)
    await worker.park(run, *(f"0.{branch}:0" for branch in range(3)))
    worker.room["async"] = 0
    await kit.advance("1m")
    worker.room["async"] = 1
    kit.engine.pump()
    resumed = await worker.next("resume", run)
    assert [op["op"] for op in resumed["ops"]] == ["0.1:0", "0.2:0", "0.0:0"]


async def test_what_the_code_had_heard_comes_back_with_the_record(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0.0:0", "wait_token", "approval", timeout_ms=None)
    heard = ["-0.0:0"]
    await worker.say({**worker.op_message(run, "0:0", "tags", tags=["late"]), "heard": heard})
    await worker.lost(run)
    started = await worker.started(run)
    assert [op.get("heard") for op in started["record"]] == [None, heard]
