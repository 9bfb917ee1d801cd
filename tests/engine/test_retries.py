"""What follows a failed attempt."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.kit import BOOM, SECOND, START, EngineKit, Worker, crash, task
from triggerdev.engine import retry
from triggerdev.engine.model import Status
from triggerdev.protocol import RetryInfo

EXACT: RetryInfo = {"max_attempts": 4, "factor": 3, "min_timeout_in_ms": 500, "randomize": False}

policies = st.builds(
    lambda **fields: RetryInfo(**{key: value for key, value in fields.items() if value is not None}),  # type: ignore[typeddict-item]  # keys are those below
    factor=st.none() | st.floats(1, 1e6),
    min_timeout_in_ms=st.none() | st.integers(0, 10**6),
    max_timeout_in_ms=st.none() | st.integers(0, 10**7),
    randomize=st.none() | st.booleans(),
)


@given(policy=policies, attempt=st.integers(1, 250), seed=st.integers(0, 1000))
def test_the_pause_is_that_of_the_formula(policy: RetryInfo, attempt: int, seed: int) -> None:
    full: dict[str, Any] = {**retry.DEFAULT_RETRY, **policy}
    spread = 1 + random.Random(seed).random() if full["randomize"] else 1
    try:
        raw = spread * full["min_timeout_in_ms"] * float(full["factor"]) ** (attempt - 1)
    except OverflowError:
        raw = float("inf")
    expected = round(min(full["max_timeout_in_ms"], raw))
    assert retry.delay_ms(policy, attempt, random.Random(seed)) == expected
    assert 0 <= expected <= full["max_timeout_in_ms"]


async def test_a_failed_attempt_is_repeated_after_its_pause(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", retry=EXACT))
    run = await kit.start()
    for attempt, pause in ((1, 500), (2, 1500), (3, 4500)):
        await worker.fail(run)
        failed = await kit.run(run)
        assert (failed.status, failed.error, failed.finished_at) == (Status.RETRYING, BOOM, None)
        await kit.advance(pause - 1)
        assert worker.heard("start") == []
        await kit.advance(1)
        assert (await worker.started(run))["attempt"] == attempt + 1
    await worker.fail(run)
    assert await kit.status(run) is Status.FAILED
    assert kit.kinds(run).count("retrying") == 3


async def test_the_event_of_a_retry_tells_when(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", retry=EXACT))
    run = await kit.start()
    kit.clock.advance(40)
    await worker.fail(run)
    event = kit.events[-1]
    assert (event.kind, event.retry_at, event.duration_ms) == ("retrying", START + 540, 40)


async def test_a_successful_retry_ends_well_and_without_the_old_error(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run)
    await kit.advance("2s")
    await worker.started(run)
    await worker.ok(run, 1)
    ended = await kit.run(run)
    assert (ended.status, ended.attempt, ended.error) == (Status.COMPLETED, 2, None)


@pytest.mark.parametrize(
    ("of_trigger", "of_task", "attempts"),
    [(None, None, 3), (None, {"max_attempts": 2}, 2), (4, {"max_attempts": 2}, 4), (1, None, 1),
     (None, {"factor": 1.5}, 3)],
)  # fmt: skip
async def test_the_number_of_attempts(
    kit: EngineKit, worker: Worker, of_trigger: int | None, of_task: RetryInfo | None, attempts: int
) -> None:
    await kit.activate(task("job", retry=of_task))
    run = await kit.trigger("job", None, **({"maxAttempts": of_trigger} if of_trigger else {}))
    for number in range(1, attempts + 1):
        started = await worker.started(run)
        assert (started["attempt"], started["max_attempts"]) == (number, attempts)
        assert not (await kit.status(run)).is_final
        await worker.fail(run)
        await kit.advance("1h")
    assert await kit.status(run) is Status.FAILED


async def test_skip_retry_ends_the_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run, skip_retry=True)
    assert await kit.status(run) is Status.FAILED


async def test_catch_error_may_set_the_time(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run, retry_at=START + 90 * SECOND)
    assert (await kit.run(run)).due_at == START + 90 * SECOND
    await kit.advance("90s")
    await worker.started(run)
    await worker.fail(run, retry_at=START)  # a time that is over: at once
    await kit.advance(0)
    await worker.started(run)


async def test_catch_error_may_set_the_pause(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run, retry_delay_ms=7000)
    assert (await kit.run(run)).due_at == START + 7000
    await kit.advance("7s")
    await worker.started(run)
    await worker.fail(run, retry_delay_ms=-5)  # a time that is over: at once
    await kit.advance(0)
    await worker.started(run)


async def test_catch_error_may_set_another_policy(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run, retry={"min_timeout_in_ms": 20_000, "randomize": False})
    assert (await kit.run(run)).due_at == START + 20_000
    await kit.advance("20s")
    await worker.started(run)
    await worker.fail(run, retry={"max_attempts": 2})
    assert await kit.status(run) is Status.FAILED


async def test_catch_error_cannot_make_more_attempts_than_there_are(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, maxAttempts=1)
    await worker.fail(run, retry_delay_ms=0)
    assert await kit.status(run) is Status.FAILED


@pytest.mark.parametrize(
    ("code", "is_retried", "final"),
    [
        ("TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE", True, Status.CRASHED),
        ("TASK_PROCESS_SIGTERM", True, Status.CRASHED),
        ("TASK_PROCESS_SIGSEGV", True, Status.CRASHED),
        ("TASK_RUN_UNCAUGHT_EXCEPTION", True, Status.FAILED),
        ("TASK_MIDDLEWARE_ERROR", True, Status.FAILED),
        ("TASK_PROCESS_MAYBE_OOM_KILLED", True, Status.CRASHED),
        ("TASK_PROCESS_OOM_KILLED", False, Status.CRASHED),
        ("TASK_INPUT_ERROR", False, Status.FAILED),
        ("TASK_OUTPUT_ERROR", False, Status.FAILED),
        ("HANDLE_ERROR_ERROR", False, Status.CRASHED),
        ("MAX_DURATION_EXCEEDED", False, Status.TIMED_OUT),
        ("COULD_NOT_FIND_TASK", False, Status.SYSTEM_FAILURE),
    ],
)
async def test_errors_of_the_machinery(
    kit: EngineKit, worker: Worker, code: str, is_retried: bool, final: Status
) -> None:
    run = await kit.start("job", None, maxAttempts=2)
    await worker.done(run, "crashed", error=crash(code))
    if is_retried:
        assert await kit.status(run) is Status.RETRYING
        await kit.advance("1m")
        await worker.started(run)
        await worker.done(run, "crashed", error=crash(code))
    assert await kit.status(run) is final


async def test_a_user_s_error_with_a_code_is_retried_like_any_other(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run, {**BOOM, "code": "ENOENT"})
    assert await kit.status(run) is Status.RETRYING


async def test_exceeding_max_duration_is_final(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.done(run, "timed_out", usage_ms=9000)
    ended = await kit.run(run)
    assert (ended.status, ended.usage_ms) == (Status.TIMED_OUT, 9000)
    assert ended.error is not None and ended.error["code"] == "MAX_DURATION_EXCEEDED"


async def test_out_of_memory_goes_on_once_with_the_larger_machine(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", retry={"max_attempts": 3, "out_of_memory_machine": "large-1x"}))
    run = await kit.start()
    await worker.done(run, "failed", error=crash("TASK_PROCESS_OOM_KILLED"))
    await kit.advance("1m")
    assert (await worker.started(run))["machine"] == "large-1x"
    await worker.done(run, "failed", error=crash("TASK_PROCESS_OOM_KILLED"))
    assert await kit.status(run) is Status.CRASHED


@pytest.mark.parametrize("machine", ["large-1x", "large-2x"])
async def test_out_of_memory_is_final_on_a_machine_that_is_as_large(
    kit: EngineKit, worker: Worker, machine: str
) -> None:
    await kit.activate(task("job", retry={"max_attempts": 3, "out_of_memory_machine": "large-1x"}))
    run = await kit.start("job", None, machine=machine)
    await worker.done(run, "failed", error=crash("TASK_PROCESS_OOM_KILLED"))
    assert await kit.status(run) is Status.CRASHED


async def test_a_new_attempt_begins_with_an_empty_record(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.op(run, "0:0", "trigger", "child")
    await worker.fail(run)
    await kit.advance("2s")
    started = await worker.started(run)
    assert (started["record"], "resumed" in started) == ([], False)
    second = await worker.op(run, "0:0", "trigger", "child")
    children = (await kit.engine.retrieve_run(run)).children
    assert len(children) == 2
    assert second["result"]["id"] == children[1].id


async def test_a_run_may_fail_while_it_is_parked(kit: EngineKit, worker: Worker) -> None:
    """Another branch than the one that waits has raised."""
    run = await kit.start()
    await worker.wait_parked(run)
    await worker.fail(run)
    failed = await kit.run(run)
    assert (failed.status, failed.worker, failed.has_ops) == (Status.RETRYING, None, False)
    await kit.advance("2h")  # the wait of the first attempt means nothing to the second
    assert (await worker.started(run))["attempt"] == 2
    assert worker.heard() == []


async def test_compute_time_adds_up_over_attempts(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.fail(run, usage_ms=120)
    await kit.advance("2s")
    assert (await worker.started(run))["usage_ms"] == 120
    await worker.ok(run, usage_ms=300)
    assert (await kit.run(run)).usage_ms == 300


async def test_a_retry_goes_ahead_of_runs_that_came_later(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 1
    first = await kit.start()
    kit.clock.advance(5)
    later = [await kit.trigger() for _ in range(2)]
    await worker.fail(first)
    await worker.started(later[0])
    await kit.advance("5s")
    await worker.ok(later[0])
    await worker.started(first)
