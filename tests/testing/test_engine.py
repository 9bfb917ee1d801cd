"""The engine for tests: time that is skipped, children, tokens, schedules, retries, calls from outside."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from triggerdev import errors, logger, metadata, queues, runs, schedules, task, tasks, testing, wait
from triggerdev.errors import AbortTaskRunError

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
HOURLY = {"min_timeout_in_ms": 3_600_000, "max_timeout_in_ms": 3_600_000}


async def test_a_wait_of_thirty_days_takes_no_time() -> None:
    @task
    async def patient(payload: int) -> int:
        await wait.for_(days=30)
        return payload + 1

    began = time.monotonic()
    async with testing.engine([patient], now=NEW_YEAR) as engine:
        run = await engine.run(patient, 1)
        assert (run.status, run.output, run.waited) == ("COMPLETED", 2, timedelta(days=30))
        assert engine.now == datetime(2026, 1, 31, tzinfo=UTC)
    assert time.monotonic() - began < 5


async def test_children_are_executed_and_can_be_asserted() -> None:
    @task
    async def child(payload: dict[str, int]) -> int:
        return payload["n"] * 2

    @task
    async def parent() -> list[int]:
        results = await asyncio.gather(*(child.trigger_and_wait({"n": n}) for n in range(3)))
        await child.trigger({"n": 9})
        return [result.unwrap() for result in results]

    async with testing.engine([parent, child]) as engine:
        assert (await engine.run(parent)).output == [0, 2, 4]
        await engine.idle()
        engine.assert_triggered(child, times=4)
        (last,) = engine.assert_triggered("child", {"n": 9})
        assert last.output == 18
        engine.assert_not_triggered(child, {"n": 3})
        with pytest.raises(AssertionError, match=r"'child' should have been triggered 2 times .* 1 times"):
            engine.assert_triggered(child, {"n": 1}, times=2)
        assert [run.task for run in engine.runs] == ["parent", *["child"] * 4]


async def test_retries_and_their_pauses_take_no_time() -> None:
    attempts = []

    @task(retry={"max_attempts": 3, "factor": 1, "randomize": False, **HOURLY})
    async def shaky() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "done"

    async with testing.engine([shaky]) as engine:
        run = await engine.run(shaky)
        assert (run.output, run.attempts, run.waited) == ("done", 3, timedelta(hours=2))


async def test_a_failure_is_reported_with_its_error() -> None:
    @task
    async def bad() -> None:
        raise AbortTaskRunError("no")

    async with testing.engine([bad]) as engine:
        run = await engine.run(bad)
        assert (run.ok, run.status, run.attempts, str(run.error)) == (False, "FAILED", 1, "no")
        with pytest.raises(errors.RunError, match="no"):
            run.unwrap()


@pytest.fixture
def approval() -> Any:
    @task
    async def publish(payload: str) -> str:
        token = await wait.for_token("approval", timeout="2h")
        return f"{payload} {token.unwrap()['by']}" if token.ok else "nobody came"

    return publish


async def test_a_token_is_completed_while_the_run_waits(approval: Any) -> None:
    async with testing.engine([approval]) as engine:
        handle = await engine.trigger(approval, "ok by")
        await engine.idle()
        assert engine.find(handle).status == "WAITING"
        await engine.complete_token("approval", {"by": "Ada"})
        assert engine.find(handle).output == "ok by Ada"


async def test_a_token_is_completed_beforehand_or_times_out(approval: Any) -> None:
    async with testing.engine([approval]) as engine:
        run = await engine.run(approval, "x")
        assert (run.output, run.waited) == ("nobody came", timedelta(hours=2))
    async with testing.engine([approval]) as engine:
        await engine.complete_token("approval", {"by": "Bob"})
        assert (await engine.run(approval, "by")).output == "by Bob"


async def test_a_run_that_nothing_wakes_is_named() -> None:
    @task
    async def asking() -> None:
        await wait.for_token("approval")

    @task
    async def parent() -> None:
        await asking.trigger_and_wait()

    async with testing.engine([parent, asking]) as engine:
        with pytest.raises(errors.RunStuckError, match=r"a run of 'asking'.*\n.*complete_token\('approval'"):
            await engine.run(parent)


async def test_code_that_takes_real_time_is_named_when_patience_ends() -> None:
    release = asyncio.Event()

    @task
    async def slow() -> None:
        await release.wait()

    async with testing.engine([slow], patience=0.05) as engine:
        with pytest.raises(errors.RunStuckError, match=r"'slow' still executes after 0\.05 s of real time"):
            await engine.run(slow)
        release.set()


async def test_a_delayed_run_starts_when_the_clock_gets_there() -> None:
    @task
    async def later() -> str:
        return "now"

    async with testing.engine([later]) as engine:
        handle = await engine.trigger(later, delay="1d", tags=["a"])
        await engine.advance(hours=23)
        assert engine.find(handle).status == "DELAYED"
        await engine.advance(timedelta(hours=1))
        run = engine.find(handle)
        assert (run.status, run.tags, run.waited) == ("COMPLETED", ["a"], timedelta(days=1))


async def test_schedules_fire_slot_by_slot() -> None:
    @schedules.task(id="report", cron="0 9 * * *")
    async def report(payload: Any) -> None: ...

    async with testing.engine([report], now=NEW_YEAR) as engine:
        await engine.advance(days=3)
        fired = engine.assert_triggered(report, times=3)
        assert [run.created_at.hour for run in fired] == [9, 9, 9]
        assert [run.created_at.day for run in fired] == [1, 2, 3]
    async with testing.engine([report], now=NEW_YEAR, schedules=False) as engine:
        await engine.advance(days=3)
        engine.assert_not_triggered(report)


async def test_plain_functions_run_in_threads() -> None:
    @task
    async def child(payload: int) -> int:
        return payload * 2

    @task
    def plain(payload: int) -> int:
        wait.sync.for_(days=2)
        logger.info("awake")
        return child.sync.trigger_and_wait(payload).unwrap()

    async with testing.engine([plain, child]) as engine:
        run = await engine.run(plain, 4)
        assert (run.output, run.waited) == (8, timedelta(days=2))
        assert engine.logs(run) == ["awake"]


async def test_cancelling_ends_a_waiting_run_and_its_cleanup() -> None:
    cleaned = []

    @task
    async def long() -> None:
        try:
            await wait.for_(days=1)
        finally:
            cleaned.append("async")

    @task
    def plain() -> None:
        try:
            wait.sync.for_(days=1)
        finally:
            cleaned.append("plain")

    async with testing.engine([long, plain]) as engine:
        for each in (long, plain):
            handle = await engine.trigger(each)
            await engine.idle()
            assert (await engine.cancel(handle)).status == "CANCELED"
    assert cleaned == ["async", "plain"]


async def test_runs_that_still_wait_at_the_end_are_unwound() -> None:
    cleaned = []

    @task
    async def forever() -> None:
        try:
            await wait.for_token("never")
        finally:
            cleaned.append("async")

    @task
    def plain() -> None:
        try:
            wait.sync.for_token("never")
        finally:
            cleaned.append("plain")

    async with testing.engine([forever, plain]) as engine:
        await engine.trigger(forever)
        await engine.trigger(plain)
        await engine.idle()
    assert sorted(cleaned) == ["async", "plain"]


async def test_calls_from_outside_go_to_the_engine() -> None:
    @task
    async def slow_hello(payload: str) -> str:
        await wait.for_(days=7)
        return f"hello {payload}"

    async with testing.engine([slow_hello]) as engine:
        handle = await slow_hello.trigger("Ada", tags=["vip"])
        run = await runs.poll(handle)
        assert (run.output, run.tags) == ("hello Ada", ["vip"])
        batch = await tasks.batch_trigger("slow-hello", [{"payload": "a"}, {"payload": "b"}])
        assert batch.run_count == 2
        with pytest.raises(errors.NotFoundError, match="Did you mean 'slow-hello'"):
            await tasks.trigger("slow-helo", 1)
        engine.assert_triggered(slow_hello, times=3)


async def test_calls_over_http_inside_of_runs_reach_the_engine_too() -> None:
    @task
    async def child() -> int:
        return 3

    @task
    async def parent() -> Any:
        return (await runs.poll(await child.trigger())).output

    @task
    def plain() -> Any:
        return runs.sync.poll(child.sync.trigger()).output

    async with testing.engine([parent, child, plain]) as engine:
        assert (await engine.run(parent)).output == 3
        assert (await engine.run(plain)).output == 3


async def test_runs_can_look_at_queues_and_pause_them() -> None:
    @task(queue={"concurrency_limit": 2})
    async def child() -> int:
        return 3

    @task
    async def parent() -> Any:
        await queues.pause(child)
        await child.trigger()
        state = await queues.retrieve(child)
        await queues.resume(child)
        return [state.paused, state.queued, state.concurrency_limit]

    @task
    def plain() -> Any:
        queues.sync.override_concurrency_limit(child, 1)
        return [queue.concurrency_limit for queue in queues.sync.list() if queue.name == "child"]

    async with testing.engine([parent, child, plain]) as engine:
        assert (await engine.run(parent)).output == [True, 1, 2]
        assert (await engine.run(plain)).output == [1]
        engine.assert_triggered(child, times=1)


async def test_the_client_is_as_it_was_afterwards() -> None:
    from triggerdev.sdk import http

    before = http._configured
    async with testing.engine([]):
        assert http._configured is not before
    assert http._configured is before
    async with testing.engine([], connect=False):
        assert http._configured is before


async def test_with_replay_every_wait_ends_with_a_new_start_from_the_record() -> None:
    starts = []

    @task
    async def stepwise() -> list[int]:
        starts.append(1)
        metadata.set("step", 1)
        await wait.for_(days=1)
        metadata.set("step", 2)
        await asyncio.gather(wait.for_(days=1), wait.for_(days=2))
        return [metadata.current()["step"]]

    async with testing.engine([stepwise], replay=True) as engine:
        run = await engine.run(stepwise)
        assert (run.output, run.attempts, run.metadata) == ([2], 1, {"step": 2})
        assert len(starts) == 4


async def test_two_runs_are_driven_at_the_same_time() -> None:
    @task
    async def sleeper(payload: int) -> int:
        await wait.for_(days=payload)
        return payload

    async with testing.engine([sleeper]) as engine:
        done = await asyncio.gather(*(engine.run(sleeper, days) for days in (3, 1, 2)))
        assert [(run.output, run.waited.days) for run in done] == [(3, 3), (1, 1), (2, 2)]


async def test_the_same_seed_gives_the_same_runs() -> None:
    @task(retry={"max_attempts": 4, "randomize": True})
    async def unlucky() -> None:
        raise ValueError("again")

    seen = []
    for _ in range(2):
        async with testing.engine([unlucky], now=NEW_YEAR, seed=7) as engine:
            run = await engine.run(unlucky)
            seen.append((run.id, run.waited, run.attempts))
    assert seen[0] == seen[1]


async def test_a_module_gives_its_tasks_and_none_gives_all() -> None:
    import types

    module = types.ModuleType("jobs")
    module.job = task(id="of-module")(lambda: 5)  # type: ignore[attr-defined]  # a module made for the test
    task(id="elsewhere")(lambda: 6)
    async with testing.engine(module) as engine:
        assert (await engine.run("of-module")).output == 5
        with pytest.raises(errors.UnknownTaskError):
            await engine.run("elsewhere")
    async with testing.engine() as engine:
        assert (await engine.run("elsewhere")).output == 6
    with pytest.raises(errors.TaskDefinitionError, match="is no task"):
        async with testing.engine("jobs"):  # type: ignore[arg-type]  # the mistake that is tested
            pass


async def test_whoever_stops_waiting_does_not_stop_what_is_being_stored() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @task
    async def answer() -> int:
        started.set()
        await go_on.wait()
        return 42

    async with testing.engine([answer]) as engine:
        handle = await engine.trigger(answer)
        await started.wait()
        with engine._store._writing:  # nothing is committed now
            go_on.set()
            waiting = asyncio.ensure_future(engine.wait(handle))
            for _ in range(20):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert (await engine.wait(handle)).output == 42
